"""Checkpoints: all that training has to remember, and the training fingerprint that says what it belongs to.

The fingerprint holds everything that decides the weights. It is kept readable, so that a difference has a name.
"""

import errno
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import atomic_path, canonical_json, remove_leftovers
from segpipe.files.space import check_space
from segpipe.log import logger
from segpipe.models.weights import versions
from segpipe.train.finetune import init_hash
from segpipe.train.roles import Roles

Fingerprint = dict[str, Any]
"""``settings``: values by dotted key; ``training`` and ``validation``: hash of picture and masks by image."""

Weights = dict[str, torch.Tensor]

# Keys that change no byte of the model, or stand in the fingerprint as what they led to.
NEUTRAL = {"workers", "preview_every", "tensorboard", "mlflow", "repeats", "device", "precision"}
SHOWN = 60  # characters of a value in a message

# Permissions, disks and networks; torch stumbles over a file cut short with an OSError, too, of another number.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)

FILES = 3  # last.pt and best.pt, and for a moment the one that replaces one of them
STATES = 5  # in each: weights, their average, the best ones, and the two moments of AdamW


def training_fingerprint(
    stage: TrainStage, model: str, roles: Roles, device: torch.device, precision: torch.dtype
) -> Fingerprint:
    """All that decides the result: config, pictures and masks, roles, kind of device, versions."""
    config = stage.model_dump(mode="json", exclude={"train": NEUTRAL, "model": {"weights", "init"}})
    settings = {
        **dict(_flat(config)),
        "model": model,
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "weights of model.init": init_hash(stage)[:16],
        **dict(zip(("version of segpipe", "version of torch", "version of monai"), versions(), strict=True)),
    }
    return {"settings": settings, "training": _contents(roles.train), "validation": _contents(roles.val)}


def fingerprint_hash(fingerprint: Fingerprint) -> str:
    """One name for all of it."""
    return hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest()


def differences(old: Fingerprint, new: Fingerprint) -> list[str]:
    """Where ``new`` differs from ``old``, for people: ``train.learning_rate: 0.002, was 0.01``."""
    before, now = old["settings"], new["settings"]
    lines = [
        f"{key}: {_shown(now, key)}, was {_shown(before, key)}"
        for key in {**now, **before}
        if before.get(key) != now.get(key)
    ]
    return [*lines, *(_changed_images(role, old[role], new[role]) for role in ("training", "validation")
                      if old[role] != new[role])]  # fmt: skip


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _contents(rows: pd.DataFrame) -> dict[str, str]:
    # 64 bits tell the pictures of one image apart; the whole hashes of an archive would outweigh a small network.
    return dict(zip(rows["image_id"], rows["content"].str[:16], strict=True))


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return "not set"
    text = str(settings[key])
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _changed_images(role: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    counts = {
        "more": len(new.keys() - old.keys()),
        "fewer": len(old.keys() - new.keys()),
        "changed": sum(old[name] != new[name] for name in old.keys() & new.keys()),
    }
    return f"{role} images: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count)


@dataclass
class TrainState:
    """State after ``epoch`` whole epochs and ``step`` steps of the next one.

    ``fingerprint`` names the config and data that the state belongs to. Schedule, order and random numbers are
    functions of epoch, step and image, and need no state of their own.
    """

    fingerprint: Fingerprint
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


@dataclass(frozen=True)
class Checkpoints:
    """``last.pt``, the newest state; ``best.pt``, that after the best epoch, to fall back on.

    States of other settings become ``superseded-<hash of their fingerprint>.pt``: the newest is kept, and taken up
    again when the settings come back.
    """

    folder: Path

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """The state after the best epoch."""
        return self.folder / "best.pt"

    def check_space(self, weights: int) -> None:
        """Whether the files will fit that are not there yet; ``weights`` are the bytes of the network's.

        Raises:
            DiskFullError: they cannot.
        """
        there = sum(path.exists() for path in (self.last, self.best))
        check_space(self.folder, (FILES - there) * STATES * weights, "checkpoints")

    def save(self, state: TrainState) -> None:
        """Replace ``last.pt``, and ``best.pt`` where this is the best epoch.

        Raises:
            DiskFullError: the files are those of before.
        """
        save_state(state, self.last)
        if state.step == 0 and state.best_epoch == state.epoch > 0:
            with atomic_path(self.best) as temporary:
                shutil.copyfile(self.last, temporary)  # no link: what damages one should spare the other

    def open(self, fingerprint: Fingerprint, require: bool = False) -> TrainState | None:
        """The state to go on from, or None to start from the beginning; the log says which and why.

        Raises:
            ConfigError: with ``require``, there is none of these very settings and data.
            InputError: the system does not let a checkpoint be read; it may be sound, so it stays where it is.
        """
        remove_leftovers(self.folder)
        own = self._superseded(fingerprint)
        for path in (self.last, self.best, own):
            state = self._read(path)
            if state is not None and state.fingerprint == fingerprint:
                if path == own:
                    own.replace(self.last)
                logger.info("going on after %s from %s", _place(state), path)
                return state
            if state is not None and require:
                raise ConfigError(
                    f"{self._explain(path, state, fingerprint)}. It is left as it is (--require-checkpoint)."
                )
            if state is not None:
                self._set_aside(path, state, fingerprint)
        if require:
            raise ConfigError(f"{self.folder} holds no checkpoint to go on from (--require-checkpoint).")
        return None

    def _read(self, path: Path) -> TrainState | None:
        if not path.exists():
            return None
        try:
            return read_state(path)
        except Exception as error:  # a damaged file can make the reader stumble anywhere
            if isinstance(error, OSError) and error.errno in UNREADABLE:
                raise InputError(
                    f"{path} cannot be read: {error.strerror}. It is left as it is; run the same command again when "
                    "the disk can be read, or remove the file to train from the beginning."
                ) from None
            aside = path.with_name(f"damaged-{path.name}")
            path.replace(aside)
            logger.warning(
                "%s is damaged or of another version of segpipe (%s); it becomes %s",
                path,
                type(error).__name__,
                aside.name,
            )
            return None

    def _set_aside(self, path: Path, state: TrainState, fingerprint: Fingerprint) -> None:
        aside = self._superseded(state.fingerprint)
        if path == self.best and aside.exists():  # last.pt of the same training, which knows more
            path.unlink()
            return
        older = [file for file in self.folder.glob("superseded-*.pt") if file != self._superseded(fingerprint)]
        path.replace(aside)
        logger.warning(
            "%s. It becomes %s and training starts from the beginning; with the old settings and data it goes on.",
            self._explain(path, state, fingerprint), aside.name,
        )  # fmt: skip
        for file in older:
            logger.warning("%s, set aside before, is removed", file)
            file.unlink()

    def _superseded(self, fingerprint: Fingerprint) -> Path:
        return self.folder / f"superseded-{fingerprint_hash(fingerprint)[:8]}.pt"

    @staticmethod
    def _explain(path: Path, state: TrainState, fingerprint: Fingerprint) -> str:
        found = "; ".join(differences(state.fingerprint, fingerprint))
        return f"{path} ({_place(state)}) was trained with other settings or data: {found}"


def _place(state: TrainState) -> str:
    return f"epoch {state.epoch}" + (f" and {state.step} steps of the next" if state.step else "")
