"""A trained model on disk: ``model.safetensors`` and ``model.json``, no pickle."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from segpipe import __version__
from segpipe.config import Model
from segpipe.errors import ConfigError, InputError, in_a_line
from segpipe.files.atomic import canonical_json, write_bytes, write_text
from segpipe.files.source import hash_file
from segpipe.models.card import WEIGHTS, ModelCard, read_card
from segpipe.models.networks.registry import build_network


@cache  # asked for once an image, and each time two packages' descriptions would be parsed
def versions() -> tuple[str, ...]:
    """Of what computes weights and masks: segpipe, torch and MONAI. Another version may give other bytes."""
    return __version__, version("torch"), version("monai")


_MOST_NAMES = 3


def save_model(folder: Path, weights: dict[str, torch.Tensor], card: ModelCard) -> None:
    """Write both files; the weights first, so that a model.json always has its weights, whose hash it gets."""
    content = save({name: tensor.contiguous() for name, tensor in weights.items()})
    write_bytes(folder / WEIGHTS, content)
    provenance = card.provenance | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    write_text(folder / "model.json", canonical_json(vars(card) | {"provenance": provenance}))


def load_model(folder: Path) -> nn.Module:
    """The network with its weights, in eval mode on the CPU.

    Raises:
        InputError: the weights are missing, damaged or belong to another network.
    """
    card = read_card(folder)
    try:
        network = build_network(card.network, len(card.classes), card.options)
    except ConfigError as error:
        raise InputError(
            f"{folder}/model.json describes a network that this version of segpipe ({__version__}) does not build: "
            f"{error}\nUse the version that trained the model."
        ) from None
    load_weights(network, folder / WEIGHTS, f"the network {card.network!r} of model.json")
    return network.eval()


def load_weights(network: nn.Module, path: Path, what: str = "the network") -> None:
    """Fill a network from a safetensors file; nothing may be missing, left over or of another shape.

    Raises:
        InputError: says what does not fit, naming the first few tensors.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({in_a_line(error)}). Copy or train the model again.") from None
    wanted = network.state_dict()
    lines = [
        *_named("lacks", sorted(set(wanted) - set(weights))),
        *_named("has besides", sorted(set(weights) - set(wanted))),
        *_named("has in another shape", _other_shapes(weights, wanted)),
        *_named("has NaN or infinite values in", [n for n, t in sorted(weights.items()) if not t.isfinite().all()]),
    ]
    if lines:
        raise InputError(
            f"{path} does not fit {what}: it\n  " + "\n  ".join(lines) + "\nThe files of two models were mixed, or "
            "the weights are damaged: copy the model's folder as a whole."
        )
    network.load_state_dict(weights)


def _other_shapes(weights: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> list[str]:
    return [
        f"{name} ({_shape(weights[name])} instead of {_shape(wanted[name])})"
        for name in sorted(set(weights) & set(wanted))
        if weights[name].shape != wanted[name].shape
    ]


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _named(verb: str, names: list[str]) -> list[str]:
    """One line, or none; a few names say enough."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return [f"{verb} {', '.join(names[:_MOST_NAMES])}{more}"] if names else []


def weights_hash(folder: Path) -> str:
    """SHA-256 of the weights' file.

    Raises:
        InputError: there is none.
    """
    try:
        return hash_file(folder / WEIGHTS)
    except OSError as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error.strerror}.") from None


def network_of(model: Model, classes: int) -> nn.Module:
    """A fresh network as the config describes it."""
    return build_network(model.network, classes, model.options)
