"""provenance.json: what must be the same when a run is made again, and what may differ."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path
from re import match
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import segpipe
from segpipe import __version__
from segpipe.config import Config
from segpipe.config.load import shareable
from segpipe.config.variants import RUN, trials
from segpipe.errors import InputError
from segpipe.files.stamp import hash_file
from segpipe.models.card import WEIGHTS, read_card
from segpipe.report.page.run_facts import STAGES, machine, stage_time

# What must be the same when a run is made again: config, seeds, and hashes of all that it read and wrote.
#
# Inputs, stores and masks were hashed when they were read or written, and the tables hold those hashes; here they are
# only put together, so that no archive is read twice. `segpipe verify` compares them with the files.

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


# What may differ when a run is made again: versions, machine, devices, state of the code, times.
#
# Nothing here names a user or a host, unless asked.

PICTURES = ("overview.png", "report.html")  # fonts, versions and times are in their bytes
_GIT_SECONDS = 60


def surroundings(
    config: Config, results: Path, shards: Sequence[str], project: Path | None, with_host: bool
) -> dict[str, Any]:
    """The section ``may_differ`` of provenance.json; ``project`` is the folder of the Snakefile, if there is one."""
    return {
        "name": config.name,
        "software": software(),
        "machine": machine(),
        **({"host": platform.node()} if with_host else {}),
        "devices": devices(config, results, shards),
        "code": _git(project),
        "times": [asdict(time) for rule in STAGES if (time := stage_time(results / "benchmarks", rule))],
        **_began_and_ended(results),
        "outputs": {name: file_hash(results / name) for name in PICTURES if (results / name).is_file()},
    }


def project_folder() -> Path | None:
    """The checkout that this package is part of; None where it was installed without the workflow."""
    folder = Path(segpipe.__file__).resolve().parents[1]
    return folder if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir() else None


def software() -> dict[str, str]:
    """Versions of Python, segpipe, and of all that segpipe needs, as they are installed here."""
    try:
        needed = {_plain(match(r"[\w.-]+", text)[0]) for text in requires("segpipe") or () if "extra ==" not in text}  # type: ignore[index]
    except PackageNotFoundError:
        needed = set()
    needed.add("openvino")
    found = {_plain(each.metadata["Name"]): each.version for each in distributions() if each.metadata["Name"]}
    versions = {name: found[name] for name in sorted(needed) if name in found}
    return {"python": platform.python_version(), "segpipe": __version__, **versions}


def devices(config: Config, results: Path, shards: Sequence[str]) -> dict[str, list[str]]:
    """On what kind of device models were trained and by which engine masks were computed, wherever that was."""
    trained = {
        str(read_card(folder).provenance.get("device", "")) for folder in model_folders(config, results).values()
    }
    engines: set[str] = set()
    for shard in shards:
        column = pq.read_table(results / "predictions" / f"{shard}.parquet", columns=["engine"], partitioning=None)[
            "engine"
        ]
        engines |= {value for value in column.to_pylist() if value}
    return {"training": sorted(trained - {""}), "prediction": sorted(engines)}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _git(project: Path | None) -> dict[str, Any]:
    """Commit, and whether files were changed since; empty where the code is no checkout."""
    if project is None or not (project / ".git").exists():
        return {}
    commit, changed = _ask_git(project, "rev-parse", "HEAD"), _ask_git(project, "status", "--porcelain", "-uno")
    return {"commit": commit.strip(), "changed": bool(changed.strip())} if commit and changed is not None else {}


def _ask_git(project: Path, *words: str) -> str | None:
    command = ["git", "-c", f"safe.directory={project}", "-C", str(project), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _began_and_ended(results: Path) -> dict[str, str]:
    """When the first job that is on record started and the last ended; Snakemake writes a record when a job ends."""
    spans = [(os.stat(path).st_mtime, path) for path in (results / "benchmarks").rglob("*.tsv")]  # noqa: PTH116
    if not spans:
        return {}
    starts = [end - _seconds(path) for end, path in spans]
    return {"began": _moment(min(starts)), "ended": _moment(max(end for end, _ in spans))}


def _seconds(path: Path) -> float:
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, IndexError, ValueError):
        return 0.0


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
