"""Curves for people beside ``history.csv``: TensorBoard's files and MLflow's runs.

None of them decides anything. One that cannot start is an error only if the config asks for it by name; one that
fails later is left out with a warning, and training goes on.
"""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from segpipe.log import logger
from segpipe.stages import TrainStage
from segpipe.train.mlflow_run import MLflowRun
from segpipe.train.tensorboard_file import TensorBoardFile

Row = Mapping[str, float | int]


class Tracker(Protocol):
    """Something that a finished epoch is told to."""

    def epoch(self, row: Row, preview: Path | None) -> None:
        """A row of ``history.csv`` and perhaps more numbers, ``epoch`` among them, and a PNG if one was drawn."""

    def close(self) -> None:
        """No more epochs come."""


class Trackers:
    """Those that a training writes to, together."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)
        self._last = time.monotonic()

    def epoch(self, row: Row, preview: Path | None) -> None:
        """Tell all of them of a finished epoch, with the seconds since the one before."""
        now = time.monotonic()
        row = {**row, "epoch_seconds": now - self._last}
        self._last = now
        for tracker in list(self._trackers):
            try:
                tracker.epoch(row, preview)
            except Exception as error:  # any kind: servers, disks and other people's code
                self._give_up(tracker, error)

    def close(self) -> None:
        """No more epochs come."""
        for tracker in list(self._trackers):
            try:
                tracker.close()
            except Exception as error:
                self._give_up(tracker, error)

    def _give_up(self, tracker: Tracker, error: Exception) -> None:
        self._trackers.remove(tracker)
        logger.warning(
            "%s failed and gets no more epochs; training and history.csv go on (%s: %s)",
            type(tracker).__name__, type(error).__name__, _without_passwords(" ".join(str(error).split()))[:300],
        )  # fmt: skip


def _without_passwords(text: str) -> str:
    """An error may tell the address of a server, and an address may hold a user's name and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def open_trackers(stage: TrainStage, model: str, output: Path) -> Trackers:
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
