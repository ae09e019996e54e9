"""What must be the same when a run is made again: config, seeds, and hashes of all that it read and wrote.

Inputs, stores and masks were hashed when they were read or written, and the tables hold those hashes; here they are
only put together, so that no archive is read twice. `segpipe verify` compares them with the files.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Config
from segpipe.errors import InputError
from segpipe.io.digest import hash_file
from segpipe.model.card import WEIGHTS, read_card
from segpipe.provenance.paths import shareable
from segpipe.trials import RUN, trials

TABLES = ("report.csv", "report.parquet", "summary.json", "groups.csv")
_READ, _STORED, _PREDICTED = ("sha256", "mask_sha256"), ("picture", "content"), ("masks_sha256",)


def content(config: Config, results: Path, shards: Sequence[str]) -> dict[str, Any]:
    """The section ``same`` of provenance.json.

    Raises:
        InputError: a table, model or output of the run is missing or damaged.
    """
    stores = {shard: results / "shards" / shard / "table.parquet" for shard in shards}
    predictions = {shard: results / "predictions" / f"{shard}.parquet" for shard in shards}
    models = model_folders(config, results)
    return {
        "config": shareable(config.model_dump(mode="json")),
        "seeds": {"run": config.seed, **{name: _seed(folder) for name, folder in models.items()}},
        "inputs": _fingerprints(stores, _READ),
        "stores": _fingerprints(stores, _STORED),
        "weights": {name: file_hash(folder / WEIGHTS) for name, folder in models.items()},
        "masks": _fingerprints(predictions, _PREDICTED),
        "outputs": {name: file_hash(results / name) for name in TABLES},
    }


def model_folders(config: Config, results: Path) -> dict[str, Path]:
    """The models that predict in the run itself; given ones are numbered, since their paths may say too much."""
    if config.model.weights:
        return {f"given{number}": folder for number, folder in enumerate(config.model.weights)}
    return {name: results / name for name in trials(config)[RUN]}


def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return hash_file(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Run snakemake, which makes what is missing."
        ) from None


def _fingerprints(tables: Mapping[str, Path], columns: Sequence[str]) -> dict[str, Any]:
    """Number and hash over all rows, and the same of each shard; how rows are shared out does not change the first."""
    rows = {shard: _rows(path, columns) for shard, path in tables.items()}
    everything = [row for own in rows.values() for row in own]
    return {**_fingerprint(everything), "shards": {shard: _fingerprint(own) for shard, own in rows.items()}}


def _fingerprint(rows: Iterable[str]) -> dict[str, Any]:
    """SHA-256 over the rows' own hashes, in the order of their text; rows without any are counted alone."""
    every = list(rows)
    lines = sorted(row for row in every if row.strip())
    text = "".join(f"{line}\n" for line in lines)
    return {"rows": len(every), "hashed": len(lines), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _rows(path: Path, columns: Sequence[str]) -> list[str]:
    try:
        table = pq.read_table(path, columns=list(columns), partitioning=None)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}), so it cannot be said what the run was made from. "
            "Delete it and run snakemake."
        ) from None
    values = [table[name].to_pylist() for name in columns if name in table.column_names]
    return [" ".join(value or "" for value in row) for row in zip(*values, strict=True)]


def _seed(folder: Path) -> Any:
    return read_card(folder).provenance.get("seed")
