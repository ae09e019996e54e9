"""A run that is on the disk: its folders, shards and models, and tables that may be damaged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Config
from segpipe.samples.scan import Scan, read_scan
from segpipe.trials import trials
from segpipe.verify.finding import Finding, UnreadableError

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
