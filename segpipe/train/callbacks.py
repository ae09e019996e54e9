"""Curves for people beside ``history.csv``: TensorBoard's files and MLflow's runs.

None of them decides anything. One that cannot start is an error only if the config asks for it by name; one that
fails later is left out with a warning, and training goes on.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError
from segpipe.files.atomic import write_text
from segpipe.log import logger

Row = Mapping[str, float | int]
"""A row of ``history.csv`` and perhaps more numbers, ``epoch`` among them."""

EXPERIMENT = "segpipe"  # in MLflow
LONGEST = 500  # characters of a value in MLflow's older stores
UNTOLD = ("mlflow",)  # a tracking URI may hold a password


def open_trackers(stage: TrainStage, model: str, output: Path) -> "Trackers":
    """What the config asks for and this installation has.

    Raises:
        ConfigError: MLflow is asked for and is not installed, or its store cannot be reached.
    """
    trackers: list[Tracker] = []
    if stage.train.tensorboard:
        try:
            trackers.append(TensorBoardFile(output / "tensorboard"))
        except ImportError:
            logger.info("no curves for TensorBoard, which is not installed: pip install 'segpipe[tracking]'")
    if stage.train.mlflow:
        trackers.append(MLflowRun(stage, model, output))
    return Trackers(trackers)


class Trackers:
    """Those that a training writes to, together."""

    def __init__(self, trackers: Sequence["Tracker"]) -> None:
        self._trackers = list(trackers)
        self._last = time.monotonic()

    def epoch(self, row: Row, preview: Path | None) -> None:
        """Tell all of them of a finished epoch, with the seconds since the one before, and its PNG if one was drawn."""
        now = time.monotonic()
        row = {**row, "epoch_seconds": now - self._last}
        self._last = now
        self._tell(lambda tracker: tracker.epoch(row, preview))

    def close(self) -> None:
        """No more epochs come."""
        self._tell(lambda tracker: tracker.close())

    def _tell(self, what: Callable[["Tracker"], None]) -> None:
        for tracker in list(self._trackers):
            try:
                what(tracker)
            except Exception as error:  # any kind: servers, disks and other people's code
                self._trackers.remove(tracker)
                why = _without_passwords(" ".join(str(error).split()))[:300]
                logger.warning(
                    "%s failed and gets no more epochs; training and history.csv go on (%s: %s)",
                    type(tracker).__name__, type(error).__name__, why,
                )  # fmt: skip


def _without_passwords(text: str) -> str:
    """An error may tell the address of a server, and an address may hold a user's name and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


class TensorBoardFile:
    """Scalars of each epoch, and previews, in ``folder``, written without the host's name, which torch's writer adds.

    A file is named after its first epoch. Training that goes on after a kill may repeat an epoch that was written:
    files from that epoch on are removed, and a start mark tells TensorBoard to forget later steps of the others.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events, self._summaries, self._writer_of = event_pb2, summary_pb2, RecordWriter
        self._folder = folder
        self._file: Path | None = None

    def epoch(self, row: Row, preview: Path | None) -> None:
        """Append the epoch's numbers; the file is opened by the first."""
        step = int(row["epoch"])
        if self._file is None:
            self._file = self._start(step)
        values = [
            self._summaries.Summary.Value(tag=f"training/{name}", simple_value=value)  # one group, side by side
            for name, value in row.items()
            if name != "epoch"
        ]
        if preview and preview.exists():
            picture = self._summaries.Summary.Image(encoded_image_string=preview.read_bytes(), colorspace=3)
            values.append(self._summaries.Summary.Value(tag="preview", image=picture))
        self._write(self._file, step=step, summary=self._summaries.Summary(value=values))

    def close(self) -> None:
        """Nothing is open between epochs."""

    def _start(self, step: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("events.out.tfevents.*"):
            if int(path.name.split(".")[3]) >= step:
                path.unlink()
        # TensorBoard reads the files of a folder in the order of their names.
        file = self._folder / f"events.out.tfevents.{step:010d}.segpipe"
        self._write(file, file_version="brain.Event:2")
        self._write(file, step=step, session_log=self._events.SessionLog(status=self._events.SessionLog.START))
        return file

    def _write(self, file: Path, **content: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **content)
        with file.open("ab") as opened:
            self._writer_of(opened).write(event.SerializeToString())


class MLflowRun:
    """A run for each model: its settings and the metrics of each epoch, no pictures, no paths, no patients.

    ``output/mlflow-run.txt`` remembers the run, which a resumed training goes on with.

    Raises:
        ConfigError: MLflow is not installed, or the store cannot be reached.
    """

    def __init__(self, stage: TrainStage, model: str, output: Path) -> None:
        self._stage, self._name = stage, _run_name(model, output)
        self._note = output / "mlflow-run.txt"
        self._client, self._experiment = _connect(stage.train.mlflow or "")
        self._run, self._written = "", set[int]()

    def epoch(self, row: Row, preview: Path | None) -> None:
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


Tracker = TensorBoardFile | MLflowRun
