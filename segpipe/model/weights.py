"""A trained model on disk: ``model.safetensors`` and ``model.json``, no pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from segpipe.config import Dicom, Model, Preprocess, canonical_json
from segpipe.errors import ConfigError, InputError
from segpipe.io.atomic import write_bytes, write_text
from segpipe.model.networks import build_network


@dataclass(frozen=True)
class ModelCard:
    """What a model needs to be applied: the contract. ``provenance`` is for people."""

    network: str
    options: dict[str, Any]
    classes: dict[str, list[int] | None]
    preprocess: dict[str, Any]
    dicom: dict[str, Any]
    provenance: dict[str, Any]


def save_model(folder: Path, weights: dict[str, torch.Tensor], card: ModelCard) -> None:
    """Write both files; the weights first, so that a model.json always has its weights."""
    write_bytes(folder / "model.safetensors", save({name: tensor.contiguous() for name, tensor in weights.items()}))
    write_text(folder / "model.json", canonical_json(vars(card)))


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


def load_model(folder: Path) -> tuple[nn.Module, ModelCard]:
    """The network with its weights, in eval mode on the CPU.

    Raises:
        InputError: the weights are missing or belong to another network.
    """
    card = read_card(folder)
    network = build_network(card.network, len(card.classes), card.options)
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise InputError(f"{folder}/model.safetensors does not fit the network {card.network!r}: {text}") from None
    return network.eval(), card


def check_contract(
    card: ModelCard, folder: Path, classes: dict[str, list[int] | None], preprocess: Preprocess, dicom: Dicom
) -> None:
    """Refuse to apply a model to pictures prepared in another way than it was trained on.

    Raises:
        ConfigError: names every key that differs, with the value the model needs.
    """
    wanted = {"preprocess": card.preprocess, "dicom": card.dicom}
    found = {"preprocess": preprocess.model_dump(mode="json"), "dicom": dicom.model_dump(mode="json")}
    differing = [
        f"{section}.{key}: {value!r} (the config says {found[section].get(key)!r})"
        for section, values in wanted.items()
        for key, value in values.items()
        if found[section].get(key) != value
    ]
    if list(classes) != list(card.classes):
        differing.append(f"classes: {', '.join(card.classes)} in this order (the config says {', '.join(classes)})")
    if differing:
        raise ConfigError(
            f"The model in {folder} was trained with other settings; it needs\n  " + "\n  ".join(differing)
        )


def network_of(model: Model, classes: int) -> nn.Module:
    """A fresh network as the config describes it."""
    return build_network(model.network, classes, model.options)
