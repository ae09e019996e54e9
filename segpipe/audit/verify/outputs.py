"""Whether models, masks, scores, the report and provenance.json are what was written, and follow from each other.

Each check yields the findings of each thing that it compares in turn, none where it is as it was.
"""

import csv
import heapq
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.audit.provenance import RECORD, content, read_provenance
from segpipe.audit.verify.run import Finding, Run, UnreadableError, read_columns
from segpipe.config.stages import PredictStage, ReportStage, ScoreStage
from segpipe.errors import InputError
from segpipe.files.atomic import canonical_json
from segpipe.files.source import hash_file
from segpipe.files.table import arrow_table, csv_cells
from segpipe.masks.encode import Layout
from segpipe.masks.journal import Entry
from segpipe.masks.store import open_masks
from segpipe.models.card import WEIGHTS, read_card
from segpipe.preprocess.store import FILES
from segpipe.report.stage import run_groups, run_summary
from segpipe.report.table import run_table
from segpipe.samples.shards import unit_hash
from segpipe.score.columns import BACKGROUND, score_table
from segpipe.score.overlap import COUNTS
from segpipe.score.stage import ShardScorer


def check_models(run: Run) -> Iterator[list[Finding]]:
    """Hash each model's weights, and compare with its card."""
    for folder in sorted({folder for models in run.trials.values() for folder in models}):
        path = folder / WEIGHTS
        try:
            wanted = read_card(folder).provenance.get("weights_sha256")
            found = hash_file(path)
        except InputError as error:
            yield [Finding("weights", folder / "model.json", " ".join(str(error).split()))]
        except OSError as error:
            yield [Finding("weights", path, f"cannot be read ({error.strerror})")]
        else:
            said = f"has another hash than model.json says ({found[:12]} instead of {str(wanted)[:12]})"
            yield [Finding("weights", path, said)] if wanted and found != wanted else []


def check_masks(run: Run, stage: PredictStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Hash the masks of every predicted image of a shard again, and compare with the table of predictions.

    Raises:
        UnreadableError: the table of predictions, or that of masks, cannot be read.
    """
    table = run.folder / trial / "predictions" / f"{shard}.parquet"
    rows = read_columns(table, ("image_id", "predicted", "form", "masks", "masks_sha256"), "mask")
    rows = rows[rows["predicted"]]
    if rows.empty:
        return
    where, first = run.folder / trial / "masks" / shard, rows.iloc[0]
    layout = Layout(stage.classes, first["form"], first["masks"])
    advice = f"Delete {table} and run snakemake: masks that are right are kept, the others made again."
    try:
        found = open_masks(where, layout.kind)
    except (OSError, ValueError) as error:
        raise UnreadableError(Finding("mask", where, f"cannot be read ({error})", better_advice=advice)) from None

    def check(row: Any) -> list[Finding]:
        names = layout.mask_names(str(row.image_id))
        try:
            digest = Entry.of("", {name: found.read(name) for name in names}, {}).content(names)
        except KeyError as error:
            problem = f"{error.args[0]} is missing"
        except (OSError, ValueError) as error:
            problem = f"{names[0]} cannot be read ({type(error).__name__})"
        else:
            which = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
            problem = "" if digest == row.masks_sha256 else f"{which} has another hash than when it was written"
        return [Finding("mask", where, problem, row.image_id, advice)] if problem else []

    with closing(found):
        # A Parquet file's reader serves one thread at a time.
        yield from (map if layout.kind == "rle" else run.each)(check, rows.itertuples())


def check_scores(run: Run, stage: ScoreStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Compute each image's scores from its counts, and compare the images with those that have masks to score."""
    path, classes = _scores(run, trial, shard), list(stage.classes)
    table = read_columns(path, None, "scores")
    try:
        again = score_table(table["image_id"].tolist(), counts_of(table, classes), classes)
        found = table[again.columns].astype(again.dtypes)
        differing = ((again != found) & ~(again.isna() & found.isna())).any(axis=1).to_numpy()
    except (KeyError, ValueError, TypeError):
        yield [Finding("scores", path, "lacks columns, or holds what is no number")]
        return
    for image_id, differs in zip(table["image_id"], differing, strict=True):
        yield [Finding("scores", path, "the scores do not follow from the counts", image_id)] if differs else []
    wanted = set(_scorer(run, stage, trial, shard, "scores").image_ids)
    for image_id in sorted(wanted ^ set(table["image_id"])):
        missing = "has no row, though there is a mask to score" if image_id in wanted else "is scored without a mask"
        yield [Finding("scores", path, missing, image_id)]


def _scores(run: Run, trial: str, shard: str) -> Path:
    return run.folder / trial / "scores" / f"{shard}.parquet"


def _scorer(run: Run, stage: ScoreStage, trial: str, shard: str, kind: str) -> ShardScorer:
    results = run.folder / trial
    predictions, masks = results / f"predictions/{shard}.parquet", results / f"masks/{shard}"
    try:
        return ShardScorer(stage, run.samples(shard), run.store(shard) / FILES[2], predictions, masks)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        text = f"cannot be counted again: a table that it is made from is damaged or missing ({type(error).__name__})"
        raise UnreadableError(Finding(kind, _scores(run, trial, shard), text)) from None


def counts_of(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """The counts of a score table, int64 (images, classes + 1, 4)."""
    names = [[f"{count}_{name}" for count in COUNTS] for name in [*classes, BACKGROUND]]
    return np.stack([table[columns].to_numpy(np.int64) for columns in names], axis=1)


def drawn(run: Run, trial: str, number: int) -> dict[str, list[str]]:
    """``number`` scored images of a trial by shard: always the same ones, whatever else is there."""

    def each() -> Iterator[tuple[float, str, str]]:
        for shard in run.shards:
            try:
                image_ids = read_columns(_scores(run, trial, shard), ["image_id"], "scores")["image_id"]
            except UnreadableError:
                continue  # the check of the scores says so
            for image_id in image_ids:
                yield unit_hash(f"verify/{run.config.seed}/{image_id}"), shard, str(image_id)

    chosen: dict[str, list[str]] = {}
    for _, shard, image_id in heapq.nsmallest(number, each()):
        chosen.setdefault(shard, []).append(image_id)
    return chosen


def recount(run: Run, stage: ScoreStage, trial: str, shard: str, image_ids: Collection[str]) -> Iterator[list[Finding]]:
    """Count the pixels of these images of a shard again, and compare with their rows."""
    path = _scores(run, trial, shard)
    table = read_columns(path, None, "recount").set_index("image_id", drop=False)
    table = table[table.index.isin(set(image_ids))]
    counts = dict(zip(table["image_id"], counts_of(table, list(stage.classes)), strict=True))
    scorer = _scorer(run, stage, trial, shard, "recount")

    def check(image_id: str) -> list[Finding]:
        try:
            with scorer.open_masks() as reader:
                found = scorer.pair(image_id, reader).counts
        except (InputError, ValueError) as error:  # a mask that is gone, or one of another size
            return [Finding("recount", path, f"cannot be counted again: {error}", image_id)]
        same = np.array_equal(found, counts[image_id])
        return [] if same else [Finding("recount", path, "masks and reference have other counts", image_id)]

    yield from run.each(check, list(counts))


def check_report(run: Run, stage: ReportStage) -> Iterator[list[Finding]]:
    """Build the report again in memory and compare every byte; names the first row that differs."""
    folds = not run.config.model.weights
    try:
        table = run_table(stage, run.folder, run.shards, folds)
        summary = canonical_json(run_summary(stage, run.folder, table, run_groups(stage, table), folds))
    except (OSError, KeyError, ValueError, InputError, pa.ArrowException) as error:
        text = f"cannot be made again: a table of an earlier stage is damaged or missing ({type(error).__name__})"
        advice = "What is said above of that table; or `snakemake` first, where the run is not finished."
        raise UnreadableError(Finding("report", run.folder / "report.csv", text, better_advice=advice)) from None
    checks: dict[str, Callable[[Path], tuple[str, str]]] = {
        "report.csv": lambda path: _first_difference(path, csv_cells(table)),
        "report.parquet": lambda path: (_of_parquet(path, arrow_table(table)), ""),
        "summary.json": lambda path: (_of_text(path, summary), ""),
    }
    for name, check in checks.items():
        path = run.folder / name
        try:
            problem, image_id = check(path)
        except (OSError, ValueError) as error:  # a text that is no UTF-8 is a ValueError
            problem, image_id = f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})", ""
        yield [Finding("report", path, problem, image_id)] if problem else []


def _of_text(path: Path, wanted: str) -> str:
    return "" if path.read_text(encoding="utf-8") == wanted else "does not follow from the tables"


def _of_parquet(path: Path, wanted: pa.Table) -> str:
    """What is wrong with the file; its tables are compared, as another pyarrow writes other bytes."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return "" if file.read(use_threads=False).equals(wanted) else "is not the table of report.csv"


def _first_difference(path: Path, rows: Iterator[Sequence[str]]) -> tuple[str, str]:
    """What is wrong with the first row that differs, and its image; blank where all is as it should be."""
    header: Sequence[str] = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(rows, start=1):
            header = header or row
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow(row)
            found = file.read(len(text.getvalue()))
            if found != text.getvalue():
                return f"row {number}: {_difference(header, row, found + file.readline())}", row[0] * (number > 1)
        return ("has rows beyond the last image" if file.read(1) else ""), ""


def _difference(header: Sequence[str], wanted: Sequence[str], found: str) -> str:
    if not found:
        return "the file ends here"
    cells = next(csv.reader(io.StringIO(found, newline="")), [])
    if len(cells) != len(wanted):
        return f"has {len(cells)} cells instead of {len(wanted)}"
    pairs = zip(header, wanted, cells, strict=True)
    different = [f"{name} is {cell!r} instead of {want!r}" for name, want, cell in pairs if want != cell]
    return "; ".join(different[:3]) or "is written in another way"


def check_provenance(run: Run) -> Iterator[list[Finding]]:
    """Compare each fact of the section ``same`` with what the tables, weights and outputs say now."""
    path = run.folder / RECORD
    try:
        recorded, now = read_provenance(run.folder)["same"], content(run.config, run.folder, run.shards)
    except InputError as error:
        yield [Finding("provenance", path, " ".join(str(error).split()))]
        return
    for section, wanted in now.items():
        found = recorded.get(section, {})
        names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        said = f"{section}: {', '.join(names[:3])} {'is' if len(names) == 1 else 'are'} not what the run has"
        yield [Finding("provenance", path, said)] if names else []
