"""Whether report.csv, report.parquet and summary.json are what the stages' tables give."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import canonical_json
from segpipe.errors import InputError
from segpipe.report.stage import run_groups, run_summary, run_table
from segpipe.report.table import report_cells, typed
from segpipe.stages import ReportStage
from segpipe.verify.finding import Finding, UnreadableError
from segpipe.verify.run import Run

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
            problem, image_id = _first_difference(report_cells(table), file)
    except (OSError, UnicodeDecodeError) as error:
        problem, image_id = f"cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})", ""
    yield [Finding("report", str(path), problem, advice, image_id)] if problem else []
    path = run.folder / "report.parquet"
    problem = _of_parquet(path, typed(table))
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
