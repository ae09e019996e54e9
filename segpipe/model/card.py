"""What a model needs to be applied; read without torch, so that a wrong model is found before anything runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segpipe.config import ClassValues, Dicom, Preprocess
from segpipe.errors import ConfigError, InputError

SEEN = "training.csv"
GREYS = ("voi", "window")  # of the DICOM policy; the rest chooses pictures and how finely they are decoded


@dataclass(frozen=True)
class ModelCard:
    """What a model needs to be applied: the contract. ``provenance`` is for people."""

    network: str
    options: dict[str, Any]
    classes: dict[str, ClassValues]
    preprocess: dict[str, Any]
    dicom: dict[str, Any]
    provenance: dict[str, Any]


def read_card(folder: Path) -> ModelCard:
    """The model's contract.

    Raises:
        InputError: not a model's folder.
    """
    path = folder / "model.json"
    try:
        return ModelCard(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a segpipe model ({error}). model.weights is a folder with model.json."
        ) from None


def pictures_seen(folder: Path) -> set[str]:
    """Hashes of the pictures that trained or validated a model (``training.csv`` beside it); empty if unknown."""
    path = folder / SEEN
    return set(path.read_text(encoding="utf-8").split()[1:]) if path.exists() else set()


def check_contract(
    card: ModelCard, folder: Path, classes: dict[str, ClassValues], preprocess: Preprocess, dicom: Dicom
) -> None:
    """Refuse to apply a model to pictures prepared in another way than it was trained on.

    Raises:
        ConfigError: names every key that differs, with the value the model needs.
    """
    greys = dicom.model_dump(mode="json", include=set(GREYS))
    wanted = {"preprocess": card.preprocess, "dicom": {key: card.dicom.get(key) for key in GREYS}}
    found = {"preprocess": preprocess.model_dump(mode="json"), "dicom": greys}
    differing = [
        f"{section}.{key}: {values.get(key)!r} (the config says {found[section].get(key)!r})"
        for section, values in wanted.items()
        for key in {**values, **found[section]}
        if found[section].get(key) != values.get(key)
    ]
    if list(classes) != list(card.classes):
        differing.append(f"classes: {', '.join(card.classes)} in this order (the config says {', '.join(classes)})")
    if differing:
        raise ConfigError(
            f"The model in {folder} was trained with other settings; it needs\n  " + "\n  ".join(differing)
        )
