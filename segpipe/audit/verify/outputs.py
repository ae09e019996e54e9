"""Whether models, masks, scores, the report and provenance.json are what was written, and follow from each other."""

import csv
import heapq
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.audit.provenance import content
from segpipe.audit.record import RECORD, read_provenance
from segpipe.audit.verify.finding import Finding, Run, UnreadableError, read_columns
from segpipe.config.stages import PredictStage, ReportStage, ScoreStage
from segpipe.errors import InputError
from segpipe.files.json_file import canonical_json
from segpipe.files.stamp import hash_file
from segpipe.files.table import arrow_table, csv_cells
from segpipe.masks.encode import Layout
from segpipe.masks.journal import Entry
from segpipe.masks.store import open_masks
from segpipe.models.card import WEIGHTS, read_card
from segpipe.preprocess.store import FILES
from segpipe.report.stage import run_groups, run_summary, run_table
from segpipe.samples.shards import unit_hash
from segpipe.score.columns import BACKGROUND, score_table
from segpipe.score.overlap import COUNTS
from segpipe.score.stage import ShardScorer

# Whether the models are those that training wrote.


def check_models(run: Run) -> Iterator[list[Finding]]:
    """Hash each model's weights and compare with its card; yields the findings of each model in turn."""
    given = bool(run.config.model.weights)
    for folder in sorted({folder for trial in run.scored_trials for folder in run.trials[trial]}):
        yield list(_check(folder, given))


def _check(folder: Path, given: bool) -> Iterator[Finding]:
    path = folder / WEIGHTS
    advice = (
        "Copy the model's folder again as a whole."
        if given
        else f"Delete {path} and run snakemake: training ends at once from its finished checkpoint and writes it again."
    )
    try:
        wanted = read_card(folder).provenance.get("weights_sha256")
    except InputError as error:
        yield Finding("weights", str(folder / "model.json"), " ".join(str(error).split()), advice)
        return
    try:
        found = hash_file(path)
    except OSError as error:
        yield Finding("weights", str(path), f"cannot be read ({error.strerror})", advice)
        return
    if wanted and found != wanted:
        yield Finding("weights", str(path), f"has another hash than model.json says ({_short(found, wanted)})", advice)


def _short(found: str, wanted: str) -> str:
    return f"{found[:12]} instead of {wanted[:12]}"


# Whether predicted masks are those that were written.

MASK_COLUMNS = ("image_id", "predicted", "form", "masks", "masks_sha256")


def check_masks(run: Run, stage: PredictStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Hash the masks of every predicted image of a shard again, and compare with the table of predictions.

    Raises:
        UnreadableError: the table of predictions, or that of masks, cannot be read.
    """
    table = run.folder / trial / "predictions" / f"{shard}.parquet"
    advice = f"Delete {table} and run snakemake: masks that are right are kept, the others made again."
    rows = read_columns(table, MASK_COLUMNS, "mask", advice)
    rows = rows[rows["predicted"]]
    if rows.empty:
        return
    where, first = run.folder / trial / "masks" / shard, rows.iloc[0]
    layout = Layout(stage.classes, first["form"], first["masks"])
    try:
        found = open_masks(where, layout.kind)
    except (OSError, ValueError) as error:
        raise UnreadableError(Finding("mask", str(where), f"cannot be read ({error})", advice)) from None

    def check(row: Any) -> list[Finding]:
        names = layout.mask_names(str(row.image_id))
        try:
            content = Entry.of("", {name: found.read(name) for name in names}, {}).content(names)
        except KeyError as error:
            problem = f"{error.args[0]} is missing"
        except (OSError, ValueError) as error:
            problem = f"{names[0]} cannot be read ({type(error).__name__})"
        else:
            which = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
            problem = "" if content == row.masks_sha256 else f"{which} has another hash than when it was written"
        return [Finding("mask", str(where), problem, advice, str(row.image_id))] if problem else []

    with closing(found):
        # A Parquet file's reader serves one thread at a time.
        yield from (map if layout.kind == "rle" else run.each)(check, rows.itertuples())


# Whether scores follow from their counts, and the counts of some images from masks and references.


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
            with scorer.open_masks() as reader:
                found = scorer.pair(image_id, reader).counts
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


# Whether report.csv, report.parquet and summary.json are what the stages' tables give.

ADVICE = "Delete {path} and run snakemake: it is made again from the tables."


def check_report(run: Run, stage: ReportStage) -> Iterator[list[Finding]]:
    """Build the report again in memory and compare every byte; names the first row that differs."""
    folds = not run.config.model.weights
    path = run.folder / "report.csv"
    try:
        table = run_table(stage, run.folder, run.shards, folds)
        summary = canonical_json(run_summary(stage, run.folder, table, run_groups(stage, table), folds))
    except (OSError, KeyError, ValueError, InputError, pa.ArrowException) as error:
        text = f"cannot be made again: a table of an earlier stage is damaged or missing ({type(error).__name__})"
        advice = "What is said above of that table; or `snakemake` first, where the run is not finished."
        raise UnreadableError(Finding("report", str(path), text, advice)) from None
    advice = ADVICE.format(path=path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            problem, image_id = _first_difference(csv_cells(table), file)
    except (OSError, UnicodeDecodeError) as error:
        problem, image_id = f"cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})", ""
    yield [Finding("report", str(path), problem, advice, image_id)] if problem else []
    path = run.folder / "report.parquet"
    problem = _of_parquet(path, arrow_table(table))
    yield [Finding("report", str(path), problem, ADVICE.format(path=path))] if problem else []
    path = run.folder / "summary.json"
    try:
        same = path.read_text(encoding="utf-8") == summary
        problem = "" if same else "does not follow from the tables"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})"
    yield [Finding("report", str(path), problem, ADVICE.format(path=path))] if problem else []


def _of_parquet(path: Path, wanted: pa.Table) -> str:
    """What is wrong with the file; its tables are compared, as another pyarrow writes other bytes."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return "" if file.read(use_threads=False).equals(wanted) else "is not the table of report.csv"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"


def _first_difference(rows: Iterator[Sequence[str]], file: TextIO) -> tuple[str, str]:
    """What is wrong with the first row that differs, and its image; blank where all is as it should be."""
    header: Sequence[str] = []
    for number, row in enumerate(rows, start=1):
        header = header or row
        text = _line(row)
        found = file.read(len(text))
        if found != text:
            image_id = row[0] if number > 1 else ""
            return f"row {number}: {_difference(header, row, found + file.readline())}", image_id
    return ("has rows beyond the last image", "") if file.read(1) else ("", "")


def _difference(header: Sequence[str], wanted: Sequence[str], found: str) -> str:
    if not found:
        return "the file ends here"
    cells = next(csv.reader(io.StringIO(found, newline="")), [])
    if len(cells) != len(wanted):
        return f"has {len(cells)} cells instead of {len(wanted)}"
    pairs = zip(header, wanted, cells, strict=True)
    different = [f"{name} is {cell!r} instead of {want!r}" for name, want, cell in pairs if want != cell]
    return "; ".join(different[:3]) or "is written in another way"


def _line(row: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


# Whether provenance.json tells of the run that is there.


def check_provenance(run: Run) -> Iterator[list[Finding]]:
    """Compare each fact of the section ``same`` with what the tables, weights and outputs say now."""
    path = run.folder / RECORD
    advice = f"Delete {path} and run snakemake: it is written again."
    try:
        recorded, now = read_provenance(run.folder)["same"], content(run.config, run.folder, run.shards)
    except InputError as error:
        yield [Finding("provenance", str(path), " ".join(str(error).split()), advice)]
        return
    for section, wanted in now.items():
        found = recorded.get(section, {})
        names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        yield [Finding("provenance", str(path), f"{section}: {_which(names)}", advice)] if names else []


def _which(names: list[str]) -> str:
    return f"{', '.join(names[:3])} {'is' if len(names) == 1 else 'are'} not what the run has"


def has_provenance(folder: Path) -> bool:
    """Whether the run wrote one; a comparison has none."""
    return (folder / RECORD).exists()
