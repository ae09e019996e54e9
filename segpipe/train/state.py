"""Everything that training has to remember, in one dataclass; a checkpoint is that dataclass."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from segpipe.io.atomic import atomic_path
from segpipe.train.contract import Contract

Weights = dict[str, torch.Tensor]


@dataclass
class TrainState:
    """State after ``epoch`` whole epochs and ``step`` steps of the next one.

    ``contract`` names the config and data that the state belongs to. Schedule, order and random numbers are
    functions of epoch, step and image, and need no state of their own.
    """

    contract: Contract
    batch_size: int  # that of the config, or found by probing
    processes: int = 0  # that trained last
    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)  # of the steps of the epoch at hand
    weights: Weights = field(default_factory=dict)
    average: Weights = field(default_factory=dict)  # moving average of the weights; empty without train.ema
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best_weights: Weights = field(default_factory=dict)
    best_miou: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float | int]] = field(default_factory=list)

    def ended(self, epochs: int, patience: int) -> bool:
        """Whether the last of ``epochs`` is over, or so many without a better score (0: however many)."""
        return self.epoch >= epochs or 0 < patience <= self.epoch - self.best_epoch


def save_state(state: TrainState, path: Path) -> None:
    """Write the checkpoint atomically: after a kill there is the old one or the new one, whole.

    Raises:
        DiskFullError: the old one is left.
    """
    content = {item.name: getattr(state, item.name) for item in fields(state)}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch hides a full disk behind an error of its own
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def read_state(path: Path) -> TrainState:
    """The checkpoint as it was written; any exception if it is damaged or of another version.

    Only tensors and plain values are read (``weights_only``): a checkpoint cannot run code.
    """
    return TrainState(**torch.load(path, map_location="cpu", weights_only=True))
