"""A run in MLflow for each model: its settings and curves, no pictures, no paths, no patients."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segpipe.errors import ConfigError
from segpipe.io.atomic import write_text
from segpipe.stages import TrainStage

EXPERIMENT = "segpipe"
LONGEST = 500  # characters of a value in MLflow's older stores
UNTOLD = ("mlflow",)  # a tracking URI may hold a password


class MLflowRun:
    """Metrics of each epoch; ``output/mlflow-run.txt`` remembers the run, which a resumed training goes on with.

    Raises:
        ConfigError: MLflow is not installed, or the store cannot be reached.
    """

    def __init__(self, stage: TrainStage, model: str, output: Path) -> None:
        self._stage, self._name = stage, _run_name(model, output)
        self._note = output / "mlflow-run.txt"
        self._client, self._experiment = _connect(stage.train.mlflow or "")
        self._run, self._written = "", set[int]()

    def epoch(self, row: Mapping[str, float | int], preview: Path | None) -> None:
        """Log an epoch's numbers, unless a training that was stopped did so already; pictures stay here."""
        del preview
        step = int(row["epoch"])
        if not self._run:
            self._start(step)
        if step not in self._written:
            for name, value in row.items():
                if name != "epoch":
                    self._client.log_metric(self._run, name, float(value), step=step)

    def close(self) -> None:
        """Mark the run as finished."""
        if self._run:
            self._client.set_terminated(self._run)

    def _start(self, step: int) -> None:
        if step > 1 and self._note.exists():
            self._run = self._note.read_text(encoding="utf-8").strip()
            self._written = {metric.step for metric in self._client.get_metric_history(self._run, "loss")}
            return
        self._run = self._client.create_run(self._experiment, run_name=self._name).info.run_id
        for name, value in _parameters(self._stage):
            self._client.log_param(self._run, name, value)
        write_text(self._note, self._run + "\n")


def _connect(uri: str) -> tuple[Any, str]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report its use to its makers
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ConfigError(
            "train.mlflow is set, but MLflow is not installed: pip install 'segpipe[mlflow]', or leave the key out."
        ) from None
    try:
        client = MlflowClient(tracking_uri=uri)
        return client, _experiment(client)
    except Exception as error:  # servers, stores and their drivers have many kinds
        why = " ".join(str(error).replace(uri, "URI").split())[:300]
        raise ConfigError(
            f"train.mlflow: the store cannot be used ({type(error).__name__}: {why}). Check the URI, as "
            "sqlite:///mlflow.db or http://127.0.0.1:5000, or leave the key out."
        ) from None


def _experiment(client: Any) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is None:
        try:
            return str(client.create_experiment(EXPERIMENT))
        except Exception:  # another fold, which trains beside this one, was faster
            known = client.get_experiment_by_name(EXPERIMENT)
            if known is None:
                raise
    return str(known.experiment_id)


def _run_name(model: str, output: Path) -> str:
    """Run and model, as ``montgomery/fold0``, from results/montgomery/models/fold0."""
    folders = [part for part in output.absolute().parts[-3:-1] if part != "models"]
    return "/".join([*folders[-1:], model])


def _parameters(stage: TrainStage) -> Iterator[tuple[str, str]]:
    """Settings as ``train.epochs: 30``; of folders their names alone."""
    yield "seed", str(stage.seed)
    yield "classes", ",".join(stage.classes)
    for section in ("dicom", "preprocess", "model", "train"):
        part = getattr(stage, section)
        for key, value in part.model_dump(mode="json").items():
            if key not in UNTOLD:
                yield f"{section}.{key}", _text(getattr(part, key), value)


def _text(value: Any, as_json: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list) and value and isinstance(value[0], Path):
        return ",".join(folder.name for folder in value)
    return (as_json if isinstance(as_json, str) else json.dumps(as_json))[:LONGEST]
