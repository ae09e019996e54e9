"""A trained model on disk: ``model.safetensors`` and ``model.json``, no pickle."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import nn

from segpipe.config import Model, canonical_json
from segpipe.errors import InputError
from segpipe.io.atomic import write_bytes, write_text
from segpipe.model.card import ModelCard, read_card
from segpipe.model.networks import build_network


def save_model(folder: Path, weights: dict[str, torch.Tensor], card: ModelCard) -> None:
    """Write both files; the weights first, so that a model.json always has its weights."""
    write_bytes(folder / "model.safetensors", save({name: tensor.contiguous() for name, tensor in weights.items()}))
    write_text(folder / "model.json", canonical_json(vars(card)))


def load_model(folder: Path) -> nn.Module:
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
    return network.eval()


def weights_hash(folder: Path) -> str:
    """SHA-256 of the weights' file.

    Raises:
        InputError: there is none.
    """
    try:
        with (folder / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{folder}/model.safetensors cannot be read: {error.strerror}.") from None


def network_of(model: Model, classes: int) -> nn.Module:
    """A fresh network as the config describes it."""
    return build_network(model.network, classes, model.options)
