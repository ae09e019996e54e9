"""What every check of `segpipe verify` uses: a run on the disk, tables that may be damaged, and findings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Config, Section
from segpipe.config.stages import load_stage
from segpipe.config.variants import trials
from segpipe.samples.scan import Scan, read_scan

# What is compared, and what to do where something of the kind differs; {folder} is that of the file.
KINDS = {
    "config": ("sample tables and stage configs", "Run snakemake with the config, or give the run's own."),
    "input": (
        "images, with their masks, as they were read",
        "Restore the file; or, if it is meant to be so, run snakemake, which takes it in.",
    ),
    "store": (
        "stored pictures, with their masks",
        "Delete {folder} and run snakemake: what is damaged is read again.",
    ),
    "dataset": (
        "shards in the dataset's table",
        "Delete {folder} and run snakemake: the tables are gathered again, and models whose images are the same stay.",
    ),
    "weights": (
        "models",
        "Copy a given model's folder again as a whole. Of one that the run trained, delete {file} and run snakemake: "
        "training ends at once from its finished checkpoint and writes it again.",
    ),
    "mask": (
        "predicted masks",
        "Delete the shard's table in predictions/ and run snakemake: masks that are right are kept, the others made "
        "again.",
    ),
    "scores": ("rows of scores", "Delete {file} and run snakemake: the shard is scored again."),
    "recount": (
        "images scored again from masks and references",
        "Delete {file} and run snakemake: the shard is scored again.",
    ),
    "report": (
        "report.csv, report.parquet and summary.json",
        "Delete {file} and run snakemake: it is made again from the tables.",
    ),
    "provenance": ("facts in provenance.json", "Delete {file} and run snakemake: it is written again."),
}


@dataclass(frozen=True)
class Finding:
    """One difference: of which ``kind``, in which ``file`` (as a path or below ``data.root``), and what to do."""

    kind: str
    file: Path | str
    problem: str
    image_id: str = ""
    better_advice: str = ""

    @property
    def advice(self) -> str:
        """That of its kind, unless there is a better one."""
        text = self.better_advice or KINDS[self.kind][1]
        return text.replace("{file}", str(self.file)).replace("{folder}", str(Path(self.file).parent))


class UnreadableError(Exception):
    """A file that a check cannot go on without; it carries the finding that says so."""

    def __init__(self, found: Finding) -> None:
        super().__init__(found.problem)
        self.finding = found


def read_columns(path: Path, columns: Sequence[str] | None, kind: str) -> pd.DataFrame:
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
    raise UnreadableError(Finding(kind, path, problem))


Item = TypeVar("Item")
Stage = TypeVar("Stage", bound=Section)


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

    def samples(self, shard: str) -> Path:
        """A shard's sample table."""
        return self.folder / self.scan.table(shard)

    def store(self, shard: str) -> Path:
        """The folder of a shard's store."""
        return self.folder / "shards" / shard

    def stage(self, name: str, kind: type[Stage]) -> Stage:
        """What a stage sees of the config."""
        return load_stage(self.folder / self.scan.stage(name), kind)

    @cached_property
    def trials(self) -> dict[str, list[Path]]:
        """The folders of the models of each trial that has predictions.

        With a comparison, the run itself is one of them only if it was made.
        """
        if self.config.model.weights:
            return {"": list(self.config.model.weights)}
        own = (self.folder / "predictions").exists() or not self.config.compare
        made = {name: models for name, models in trials(self.config).items() if own or name.startswith("compare/")}
        return {name: [self.folder / model for model in models] for name, models in made.items()}

    def each(self, check: Callable[[Item], list[Finding]], items: Iterable[Item]) -> Iterator[list[Finding]]:
        """The findings of each item in turn; the threads work ahead."""
        return self.threads.map(check, items)
