"""Whether scores follow from their counts, and the counts of some images from masks and references."""

import heapq
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from segpipe.errors import InputError
from segpipe.preprocess.store import FILES
from segpipe.samples.shards import unit_hash
from segpipe.score.counts import COUNTS
from segpipe.score.shard import ShardScorer
from segpipe.score.table import BACKGROUND, score_table
from segpipe.stages import ScoreStage
from segpipe.verify.finding import Finding, UnreadableError
from segpipe.verify.run import Run, read_columns


def check_scores(run: Run, stage: ScoreStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Compute each image's scores from its counts, and compare the images with those that have masks to score."""
    path = run.folder / trial / "scores" / f"{shard}.parquet"
    table = read_columns(path, None, "scores", _advice(path))
    classes = list(stage.classes)
    try:
        again = score_table(table["image_id"].tolist(), counts_of(table, classes), classes)
        found = table[again.columns].astype(again.dtypes)
        differing = ((again != found) & ~(again.isna() & found.isna())).any(axis=1).to_numpy()
    except (KeyError, ValueError, TypeError):
        yield [Finding("scores", str(path), "lacks columns, or holds what is no number", _advice(path))]
        return
    problem = "the scores do not follow from the counts"
    for image_id, differs in zip(table["image_id"], differing, strict=True):
        yield [Finding("scores", str(path), problem, _advice(path), image_id)] if differs else []
    wanted = _scorable(run, trial, shard, path)
    for image_id in sorted(wanted ^ set(table["image_id"])):
        missing = "has no row, though there is a mask to score" if image_id in wanted else "is scored without a mask"
        yield [Finding("scores", str(path), missing, _advice(path), image_id)]


def recount(run: Run, stage: ScoreStage, trial: str, shard: str, image_ids: Collection[str]) -> Iterator[list[Finding]]:
    """Count the pixels of these images of a shard again, and compare with their rows."""
    path = run.folder / trial / "scores" / f"{shard}.parquet"
    table = read_columns(path, None, "recount", _advice(path)).set_index("image_id", drop=False)
    table = table[table.index.isin(set(image_ids))]
    counts = dict(zip(table["image_id"], counts_of(table, list(stage.classes)), strict=True))
    scorer = _scorer(run, stage, trial, shard, path)

    def check(image_id: str) -> list[Finding]:
        try:
            ((_, found),) = scorer.counts({image_id})
        except (InputError, ValueError) as error:  # a mask that is gone, or one of another size
            return [Finding("recount", str(path), f"cannot be counted again: {error}", _advice(path), image_id)]
        text = "masks and reference have other counts"
        same = np.array_equal(found, counts[image_id])
        return [] if same else [Finding("recount", str(path), text, _advice(path), image_id)]

    yield from run.each(check, list(counts))


def drawn(run: Run, trial: str, number: int) -> dict[str, list[str]]:
    """``number`` scored images of a trial by shard: always the same ones, whatever else is there."""

    def each() -> Iterator[tuple[float, str, str]]:
        for shard in run.shards:
            path = run.folder / trial / "scores" / f"{shard}.parquet"
            try:
                image_ids = read_columns(path, ["image_id"], "scores", "")["image_id"]
            except UnreadableError:
                continue  # the check of the scores says so
            for image_id in image_ids:
                yield unit_hash(f"verify/{run.config.seed}/{image_id}"), shard, str(image_id)

    chosen: dict[str, list[str]] = {}
    for _, shard, image_id in heapq.nsmallest(number, each()):
        chosen.setdefault(shard, []).append(image_id)
    return chosen


def _scorer(run: Run, stage: ScoreStage, trial: str, shard: str, path: Path) -> ShardScorer:
    results = run.folder / trial
    samples, images = run.folder / "samples" / f"{shard}.csv", run.folder / "shards" / shard / FILES[2]
    try:
        return ShardScorer(stage, samples, images, results / f"predictions/{shard}.parquet", results / f"masks/{shard}")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        text = f"cannot be counted again: a table that it is made from is damaged or missing ({type(error).__name__})"
        raise UnreadableError(Finding("recount", str(path), text, _advice(path))) from None


def counts_of(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """The counts of a score table, int64 (images, classes + 1, 4)."""
    names = [[f"{count}_{name}" for count in COUNTS] for name in [*classes, BACKGROUND]]
    return np.stack([table[columns].to_numpy(np.int64) for columns in names], axis=1)


def _scorable(run: Run, trial: str, shard: str, path: Path) -> set[str]:
    advice = f"Delete {path} and run snakemake."
    store = run.folder / "shards" / shard / FILES[2]
    facts = read_columns(store, ["image_id", "status"], "store", advice)
    predictions = run.folder / trial / "predictions" / f"{shard}.parquet"
    predicted = read_columns(predictions, ["image_id", "predicted", "seen"], "mask", advice)
    usable = predicted[predicted["predicted"] & ~predicted["seen"]]
    return set(facts.loc[facts["status"] == "labelled", "image_id"]) & set(usable["image_id"])


def _advice(path: Path) -> str:
    return f"Delete {path} and run snakemake: the shard is scored again."
