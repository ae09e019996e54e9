"""What a checkpoint belongs to: everything that decides the weights, kept readable so that a difference has a name."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import torch

from segpipe.config import canonical_json
from segpipe.model.versions import versions
from segpipe.stages import TrainStage
from segpipe.train.roles import Roles
from segpipe.train.start import init_hash

Contract = dict[str, Any]
"""``settings``: values by dotted key; ``training`` and ``validation``: hash of picture and masks by image."""

# Keys that change no byte of the model, or stand in the contract as what they led to.
NEUTRAL = {"workers", "preview_every", "tensorboard", "mlflow", "repeats", "device", "precision"}
SHOWN = 60  # characters of a value in a message


def contract(stage: TrainStage, model: str, roles: Roles, device: torch.device, precision: torch.dtype) -> Contract:
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


def contract_hash(found: Contract) -> str:
    """One name for all of it."""
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def differences(old: Contract, new: Contract) -> list[str]:
    """What ``new`` has otherwise than ``old``, for people: ``train.learning_rate: 0.002, was 0.01``."""
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
