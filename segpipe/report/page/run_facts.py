"""What a run's folder says about how it was made: configs of its stages, models, hashes, versions, times."""

import csv
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe import __version__

PACKAGES = ("torch", "monai", "snakemake", "numpy", "pandas", "opencv-python-headless", "pydicom", "scipy")
STAGES = ("preprocess", "dataset", "train", "predict", "score", "report")
_TIMED = ("preprocess", "dataset", "train", "predict", "score")  # those that are over when the page is written
_CURVE_DIGITS = 5


@dataclass(frozen=True)
class ModelFacts:
    """A trained model: its card's provenance, the SHA-256 of its weights, and its history by column."""

    name: str
    network: str
    provenance: dict[str, Any]
    sha256: str
    history: dict[str, list[float | None]]


@dataclass(frozen=True)
class StageTime:
    """What the jobs of a rule took, together; memory is that of the largest."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float


@dataclass(frozen=True)
class RunFacts:
    """All of it; empty where a run has none, as one with a given model has no dataset."""

    configs: dict[str, dict[str, Any]]
    dataset: dict[str, Any]
    models: list[ModelFacts]
    times: list[StageTime] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""


def read_facts(results: Path, files: Mapping[str, Path]) -> RunFacts:
    """Read what there is, the configs from their ``files``; one that is missing or damaged leaves its place empty."""
    configs = {name: _json(files[name]) if name in files else {} for name in STAGES}
    return RunFacts(
        configs=configs,
        dataset=_json(results / "dataset" / "dataset.json"),
        models=[_model(folder) for folder in _model_folders(results, configs["train"])],
        times=[time for rule in _TIMED if (time := stage_time(results / "benchmarks", rule))],
        machine=machine(),
        versions={"segpipe": __version__, **{name: found for name in PACKAGES if (found := _version(name))}},
    )


def _model_folders(results: Path, train: dict[str, Any]) -> list[Path]:
    """Those of this run, or the given ones; without those of a comparison and of a run that was not finished."""
    given = train.get("model", {}).get("weights", [])
    folders = [Path(path) for path in given] if given else sorted((results / "models").glob("*"))
    return [folder for folder in folders if (folder / "model.json").is_file()]


def _model(folder: Path) -> ModelFacts:
    card = _json(folder / "model.json")
    weights = folder / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
    name, provenance = folder.name, card.get("provenance", {})
    return ModelFacts(name, card.get("network", ""), provenance, digest, _history(folder / "history.csv"))


def _history(path: Path) -> dict[str, list[float | None]]:
    """Numbers by epoch; a cell without one is None."""
    if not path.is_file():
        return {}
    table = pd.read_csv(path).select_dtypes("number").astype("float64")
    return {
        str(name): [None if pd.isna(value) else float(f"{value:.{_CURVE_DIGITS}g}") for value in table[name]]
        for name in table
    }


def stage_time(folder: Path, rule: str) -> StageTime | None:
    """The jobs of a rule as Snakemake measured them; None where it kept nothing."""
    files = sorted([*folder.glob(f"{rule}.tsv"), *(folder / rule).glob("**/*.tsv")])
    rows = [row for path in files for row in csv.DictReader(_lines(path), delimiter="\t")]
    if not rows:
        return None
    seconds, cpu, memory = ([_number(row.get(key)) for row in rows] for key in ("s", "cpu_time", "max_rss"))
    return StageTime(rule, len(rows), sum(seconds), sum(cpu), max(memory))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _number(text: str | None) -> float:
    """Snakemake writes - or NA for what it could not measure, as of a job that took no time."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def machine() -> str:
    """Kind and number of the processors that wrote the page; no name of a host."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} x {named or 'CPU'}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
