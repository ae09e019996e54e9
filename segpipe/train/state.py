"""Everything that training has to remember, in one dataclass; a checkpoint is that dataclass."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from segpipe.io.atomic import atomic_path
from segpipe.log import logger


@dataclass
class TrainState:
    """State after ``epoch`` whole epochs.

    ``contract`` names the config and data that the state belongs to. Schedule and random numbers are
    functions of the epoch and need no state of their own.
    """

    contract: str
    epoch: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    best_weights: dict[str, torch.Tensor]
    best_miou: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float | int]] = field(default_factory=list)


def save_state(state: TrainState, path: Path) -> None:
    """Write the checkpoint atomically: after a kill there is the old one or the new one, whole."""
    with atomic_path(path) as temporary:
        torch.save({item.name: getattr(state, item.name) for item in fields(state)}, temporary)


def load_state(path: Path, contract: str) -> TrainState | None:
    """The checkpoint, or None where there is none that fits; a foreign one is set aside, and the log says so.

    Only tensors and plain values are read (``weights_only``): a checkpoint cannot run code.
    """
    if not path.exists():
        return None
    try:
        state = TrainState(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file can make the reader stumble anywhere
        logger.warning("%s is no checkpoint of this version (%s); training starts anew", path, type(error).__name__)
        _set_aside(path)
        return None
    if state.contract != contract:
        logger.info("%s belongs to another config or other training images; training starts anew", path)
        _set_aside(path)
        return None
    logger.info("resuming after epoch %d from %s", state.epoch, path)
    return state


def _set_aside(path: Path) -> None:
    path.replace(path.with_name("superseded" + path.suffix))
