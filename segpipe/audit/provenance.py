"""provenance.json: what must be the same when a run is made again, and what may differ.

Inputs, stores and masks were hashed when they were read or written, and the tables hold those hashes; here they are
only put together, so that no archive is read twice. `segpipe verify` compares them with the files. Nothing names a user
or a host, unless asked.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from re import match
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import segpipe
from segpipe import __version__
from segpipe.audit.crate import CONFIG, crate
from segpipe.config import Config
from segpipe.config.load import shareable
from segpipe.config.variants import RUN, trials
from segpipe.errors import InputError
from segpipe.files.atomic import canonical_json, read_json, write_bytes, write_text
from segpipe.files.source import hash_file
from segpipe.models.card import WEIGHTS, read_card
from segpipe.report.page.run_facts import STAGES, machine, stage_time

RECORD, CRATE = "provenance.json", "ro-crate-metadata.json"
TABLES = ("report.csv", "report.parquet", "summary.json", "groups.csv")
_PAGES = ("overview.png", "report.html")  # fonts, versions and times are in their bytes
_READ, _STORED, _PREDICTED = ("sha256", "mask_sha256"), ("picture", "content"), ("masks_sha256",)
_FORMAT = 1
_GIT_SECONDS = 60


def write_provenance(
    config: Config, results: Path, shards: Sequence[str], project: Path | None = None, with_host: bool = False
) -> None:
    """Write ``provenance.json``, ``workflow/`` and ``ro-crate-metadata.json`` into ``results``.

    ``project`` is the folder with the Snakefile that ran; by default the checkout that this package is part of.

    Raises:
        InputError: a table, model or output of the run is missing or damaged.
    """
    project = project or project_folder()
    record: dict[str, Any] = {
        "format": _FORMAT,
        "same": content(config, results, shards),
        "may_differ": environment(config, results, shards, project, with_host),
    }
    copied = [] if project is None else _copy_workflow(project, results)
    write_text(results / CONFIG, canonical_json(record["same"]["config"]))
    write_text(results / RECORD, canonical_json(record))
    files = {name: file_hash(results / name) for name in [*copied, CONFIG, RECORD]}
    write_text(results / CRATE, canonical_json(crate(record, files)))


def read_provenance(results: Path) -> dict[str, Any]:
    """The record of a run.

    Raises:
        InputError: there is none, or another version of segpipe wrote it.
    """
    path = results / RECORD
    record = read_json(
        path,
        missing="{path} cannot be read ({reason}), so it is not known what the run was made from. Give the results "
        "folder of a finished run; snakemake writes the file at its end.",
        damaged="{path} is no JSON: it was changed or cut. Delete it and run snakemake.",
    )
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise InputError(f"{path} is of another version of segpipe. Delete it and run snakemake.")
    return record


def _copy_workflow(project: Path, results: Path) -> list[str]:
    """Snakefile and rules as they are now, into ``workflow/``; the names of the copies below ``results``."""
    names = ["Snakefile", *sorted(f"workflow/rules/{path.name}" for path in (project / "workflow/rules").glob("*.smk"))]
    for name in names:
        write_bytes(results / "workflow" / name, (project / name).read_bytes())
    return [f"workflow/{name}" for name in names]


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
        "seeds": {"run": config.seed, **{name: _card(folder).get("seed") for name, folder in models.items()}},
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


def _card(folder: Path) -> dict[str, Any]:
    return read_card(folder).provenance


def environment(
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
        "outputs": {name: file_hash(results / name) for name in _PAGES if (results / name).is_file()},
    }


def project_folder() -> Path | None:
    """The checkout that this package is part of; None where it was installed without the workflow."""
    folder = Path(segpipe.__file__).resolve().parents[1]
    return folder if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir() else None


def software() -> dict[str, str]:
    """Versions of Python, segpipe, and of all that segpipe needs, as they are installed here."""
    names = {"openvino"}
    with suppress(PackageNotFoundError):
        names |= {match(r"[\w.-]+", text)[0] for text in requires("segpipe") or () if "extra ==" not in text}  # type: ignore[index]
    found = {}
    for name in sorted(names):
        with suppress(PackageNotFoundError):
            found[name.lower().replace("_", "-")] = version(name)
    return {"python": platform.python_version(), "segpipe": __version__, **found}


def devices(config: Config, results: Path, shards: Sequence[str]) -> dict[str, list[str]]:
    """On what kind of device models were trained and by which engine masks were computed, wherever that was."""
    trained = {str(_card(folder).get("device", "")) for folder in model_folders(config, results).values()}
    engines = {engine for shard in shards for engine in _rows(results / f"predictions/{shard}.parquet", ["engine"])}
    return {"training": sorted(trained - {""}), "prediction": sorted(engines - {""})}


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
