"""What `segpipe verify` finds, a line for each file or row that is not what it was, and the run it looks at."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import astuple, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TextIO, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Config
from segpipe.config.variants import trials
from segpipe.log import plain
from segpipe.samples.scan import Scan, read_scan

# What `segpipe verify` finds: one line for each file, or row of a file, that is not what it was.

KINDS = {
    "config": "sample tables and stage configs",
    "input": "images, with their masks, as they were read",
    "store": "stored pictures, with their masks",
    "dataset": "shards in the dataset's table",
    "weights": "models",
    "mask": "predicted masks",
    "scores": "rows of scores",
    "recount": "images scored again from masks and references",
    "report": "report.csv, report.parquet and summary.json",
    "provenance": "facts in provenance.json",
}
STORE_ADVICE = "Delete {folder} and run snakemake: what is damaged is read again."
_MOST = 10  # findings of one kind that are printed; --output has all


@dataclass(frozen=True)
class Finding:
    """One difference: of which ``kind``, in which ``file`` (as a path or below ``data.root``), and what to do."""

    kind: str
    file: str
    problem: str
    advice: str
    image_id: str = ""


class UnreadableError(Exception):
    """A file that a check cannot go on without; it carries the finding that says so."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding


@dataclass
class Tally:
    """What was compared and what differs: numbers, and the first findings of each kind, however many there are.

    ``stream`` gets a line of CSV for each, after a header.
    """

    stream: TextIO | None = None
    compared: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Finding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._writer = csv.writer(self.stream, lineterminator="\n") if self.stream else None
        if self._writer:
            self._writer.writerow(field.name for field in fields(Finding))

    def add(self, kind: str, findings: Iterable[Finding]) -> None:
        """One thing was compared, with these findings."""
        self.compared[kind] += 1
        for finding in findings:
            self.differing[finding.kind] += 1
            own = self.first.setdefault(finding.kind, [])
            if len(own) < _MOST:
                own.append(finding)
            if self._writer:
                self._writer.writerow(astuple(finding))

    def text(self, left_out: Iterable[str] = ()) -> str:
        """For a terminal; what to do is said once for all it helps."""
        lines = []
        for kind, what in KINDS.items():
            if kind in left_out:
                lines.append(f"{what}: left out")
            elif self.compared[kind] or self.differing[kind]:
                number = self.differing[kind]
                lines.append(f"{what}: {self.compared[kind]} compared, {f'{number} differ' if number else 'all alike'}")
            lines += self._details(kind)
        return "\n".join(lines)

    def _details(self, kind: str) -> list[str]:
        own = self.first.get(kind, [])
        lines = []
        for finding in own:
            of = f" ({finding.image_id})" if finding.image_id else ""
            lines.append(f"  {plain(finding.file)}{of}: {plain(finding.problem)}")
        if self.differing[kind] > len(own):
            lines.append(f"  and {self.differing[kind] - len(own)} more (--output FILE writes all of them)")
        return lines + [f"  -> {advice}" for advice in dict.fromkeys(finding.advice for finding in own)]


# A run that is on the disk: its folders, shards and models, and tables that may be damaged.

Item = TypeVar("Item")


@dataclass(frozen=True)
class Run:
    """A config, what the last scan of it found, and threads that look at several files at a time."""

    config: Config
    threads: Executor

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return self.config.folder

    @cached_property
    def scan(self) -> Scan:
        """Shards and stages."""
        return read_scan(self.config)

    @property
    def shards(self) -> list[str]:
        """Names of the shards."""
        return sorted(self.scan.shards)

    @cached_property
    def trials(self) -> dict[str, list[Path]]:
        """For each trial the folders of its models."""
        if self.config.model.weights:
            return {"": list(self.config.model.weights)}
        return {trial: [self.folder / name for name in names] for trial, names in trials(self.config).items()}

    @property
    def scored_trials(self) -> list[str]:
        """Trials that have predictions: without a comparison all; with one, the run itself only if it was made."""
        own = (self.folder / "predictions").exists() or not self.config.compare
        return [trial for trial in self.trials if own or trial.startswith("compare/")]

    def each(self, check: Callable[[Item], list[Finding]], items: Iterable[Item]) -> Iterator[list[Finding]]:
        """The findings of each item in turn; the threads work ahead."""
        return self.threads.map(check, items)


def read_columns(path: Path, columns: Sequence[str] | None, kind: str, advice: str) -> pd.DataFrame:
    """A Parquet table, or some of its columns; the checksums of all are compared.

    Raises:
        UnreadableError: it is missing, damaged or lacks a column.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            missing = set(columns or ()) - set(file.schema_arrow.names)
            if not missing:
                table = file.read(use_threads=False)  # all of it, for the checksums
                wanted: pd.DataFrame = table.select(columns or table.column_names).to_pandas()
                return wanted
        problem = f"has no column {min(missing)}: another version of segpipe wrote it"
    except FileNotFoundError:
        problem = "is missing"
    except (OSError, ValueError, pa.ArrowException) as error:
        problem = f"is damaged, or cannot be read ({type(error).__name__})"
    raise UnreadableError(Finding(kind, str(path), problem, advice))
