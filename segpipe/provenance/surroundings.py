"""What may differ when a run is made again: versions, machine, devices, state of the code, times.

Nothing here names a user or a host, unless asked.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path
from re import match
from typing import Any

import pyarrow.parquet as pq

import segpipe
from segpipe import __version__
from segpipe.config import Config
from segpipe.model.card import read_card
from segpipe.provenance.content import file_hash, model_folders
from segpipe.report.html.run_facts import STAGES, machine, stage_time

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
    needed |= {"onnxruntime", "openvino"}
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
