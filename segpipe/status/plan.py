"""The jobs of a run and their files, as the rules in ``workflow/rules`` name them (a test compares the two)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segpipe.config import Config
from segpipe.trials import trials, variants

RULES = ("preprocess", "dataset", "train", "predict", "score", "report", "check", "provenance", "compare")
REPORT_FILES = ("report.csv", "report.parquet", "summary.json", "groups.csv", "overview.png", "report.html")
MODEL_FILES = ("model.safetensors", "model.json", "history.csv", "training.csv")


@dataclass(frozen=True)
class Job:
    """One job: ``name`` is what tells it from others of its rule, ``""`` where there are none."""

    rule: str
    name: str
    outputs: tuple[Path, ...]
    log: Path


def jobs_of(config: Config, shards: list[str]) -> list[Job]:
    """Every job of a run, whether it has to run or not, in the order of the rules."""
    found = [*_of_shards(config.folder, shards), *_of_trials(config, shards), *_of_the_end(config)]
    return sorted(found, key=lambda job: RULES.index(job.rule))


def _of_shards(folder: Path, shards: list[str]) -> Iterator[Job]:
    for shard in shards:
        store = folder / "shards" / shard
        outputs = (store / "images.npy", store / "masks.npy", store / "table.parquet")
        yield Job("preprocess", shard, outputs, folder / f"logs/preprocess/{shard}.log")


def _of_trials(config: Config, shards: list[str]) -> Iterator[Job]:
    """Models belong to the trial whose folder they are in; a seed alone predicts and scores with models of another."""
    folder, models = config.folder, set[str]()
    for trial, of_trial in trials(config).items():
        if _is_asked_for(config, trial):
            models.update(of_trial)
            for shard in shards:
                for rule, place in (("predict", "predictions"), ("score", "scores")):
                    output = folder / f"{trial}{place}/{shard}.parquet"
                    yield Job(rule, f"{trial}{shard}", (output,), folder / f"logs/{trial}{rule}/{shard}.log")
    for model in sorted(models):
        trial, _, name = model.rpartition("models/")
        outputs = tuple(folder / model / file for file in MODEL_FILES)
        yield Job("train", f"{trial}{name}", outputs, folder / f"logs/{trial}train/{name}.log")


def _is_asked_for(config: Config, trial: str) -> bool:
    """With a comparison its variants are what the run ends with, else the run itself and its seeds."""
    return trial.startswith("compare/") == bool(config.compare)


def _of_the_end(config: Config) -> Iterator[Job]:
    folder, logs = config.folder, config.folder / "logs"
    if not config.model.weights:
        yield Job("dataset", "", _files(folder / "dataset", "dataset.parquet", "dataset.json"), logs / "dataset.log")
    if variants(config):
        yield Job("compare", "", _files(folder, "comparison.csv", "comparison.png"), logs / "compare.log")
        return
    yield Job("report", "", _files(folder, *REPORT_FILES), logs / "report.log")
    yield Job("check", "", _files(folder, "summary.txt"), logs / "check.log")
    yield Job("provenance", "", _files(folder, "provenance.json", "ro-crate-metadata.json"), logs / "provenance.log")


def _files(folder: Path, *names: str) -> tuple[Path, ...]:
    return tuple(folder / name for name in names)
