"""Where training starts: at the weights of a given model, as far as they fit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from segpipe.errors import ConfigError, InputError, in_a_line
from segpipe.log import logger
from segpipe.model.card import ModelCard, contract_differences, read_card
from segpipe.model.weights import weights_hash
from segpipe.stages import TrainStage
from segpipe.train.encoder import encoder_parameters, is_among
from segpipe.train.heads import class_axes, is_separable, take_classes

SHOWN = 5


def init_hash(stage: TrainStage) -> str:
    """What tells the weights of ``model.init`` from others, for a checkpoint's contract; empty without."""
    folder = stage.model.init
    if folder is None:
        return ""
    classes = ",".join(read_card(folder).classes)  # they decide which channels of the head are taken over
    return hashlib.sha256(f"{weights_hash(folder)} {classes}".encode()).hexdigest()


def load_initial(network: nn.Module, folder: Path, stage: TrainStage) -> None:
    """Copy every tensor of a trained model whose name and shape fit; the log lists what did not.

    Where the classes differ, the channels of those that both know are taken over, if the network keeps classes apart.

    Raises:
        InputError: no model, damaged weights, or nothing fits.
    """
    card, given = read_card(folder), _read_weights(folder)
    found = contract_differences(card, stage.preprocess, stage.dicom)
    if found:
        logger.warning("model.init %s saw pictures prepared in another way:\n  %s", folder, "\n  ".join(found))
    result = _copy_what_fits(network, given, card, list(stage.classes))
    if not any(network.state_dict()[name].dim() > 1 for name in result.copied):
        options = f"the options {card.options}" if card.options else "its default options"
        raise InputError(
            f"model.init: nothing in {folder} fits this run's network {stage.model.network!r}: the model there is a "
            f"{card.network!r} with {options}. Give model.network and model.options as there, or leave model.init out."
        )
    for line in result.lines(network):
        logger.info("model.init: %s", line)
    if stage.train.freeze_encoder_epochs:
        _warn_of_frozen_noise(network, {*result.copied, *result.mixed})


def _warn_of_frozen_noise(network: nn.Module, filled: set[str]) -> None:
    encoder = encoder_parameters(network)
    random = [name for name, tensor in network.named_parameters() if is_among(tensor, encoder) and name not in filled]
    if random:
        logger.warning(
            "train.freeze_encoder_epochs keeps what was not given of the encoder at random (%d): %s",
            len(random), _some(random),
        )  # fmt: skip


@dataclass
class _Result:
    """What became of each tensor."""

    classes: str = ""
    copied: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)  # the channels of some classes
    anew: list[str] = field(default_factory=list)  # those of other classes
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)

    def lines(self, network: nn.Module) -> list[str]:
        """For the log."""
        state = network.state_dict()
        total = sum(tensor.numel() for tensor in state.values())
        share = sum(state[name].numel() for name in self.copied) / total
        lines = [f"{len(self.copied)} of {len(state)} tensors copied, {share:.1%} of all values"]
        if self.classes:
            lines.append(self.classes)
        for what, names in (
            ("at random, because the given model lacks them", self.missing),
            ("at random, because the given model has them in another shape", self.reshaped),
            ("in the given model, but not used", self.unused),
        ):
            if names:
                lines.append(f"{what} ({len(names)}): {_some(names)}")
        return lines


def _copy_what_fits(network: nn.Module, given: dict[str, Tensor], card: ModelCard, classes: list[str]) -> _Result:
    result, old = _Result(), list(card.classes)
    axes = {} if old == classes else _axes(card)
    apart, shared = is_separable(axes), [name for name in classes if name in old]
    state = network.state_dict()  # tensors that share the network's memory
    for name, fresh in state.items():
        stored = given.get(name)
        if stored is None:
            result.missing.append(name)
        elif name in axes:
            taken = take_classes(stored, fresh, old, classes) if apart and shared else None
            if taken is not None:
                fresh.copy_(taken)
            (result.anew if taken is None else result.mixed).append(name)
        elif stored.shape != fresh.shape or stored.is_floating_point() != fresh.is_floating_point():
            result.reshaped.append(f"{name} (here {tuple(fresh.shape)}, given {tuple(stored.shape)})")
        else:
            fresh.copy_(stored)
            result.copied.append(name)
    result.unused = sorted(name for name, tensor in given.items() if name not in state and tensor.dim())
    if old != classes:
        result.classes = _tell_classes(old, classes, shared if result.mixed else [], apart)
    return result


def _tell_classes(old: list[str], new: list[str], taken: list[str], apart: bool) -> str:
    fresh = [name for name in new if name not in taken]
    text = f"classes were {', '.join(old)}; "
    if taken:
        text += f"the output channels of {', '.join(taken)} are taken over"
        return text + (f", those of {', '.join(fresh)} start at random" if fresh else "")
    why = "none is among this run's" if not set(old) & set(new) else "" if apart else "its output layers mix classes"
    return text + "all output layers start at random" + (f": {why}" if why else "")


def _axes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    try:
        return class_axes(card)
    except ConfigError:
        return {}  # a network of another version: names and shapes decide


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    try:
        given = load_file(path)
    except Exception as error:  # the reader's own kinds, and the system's
        raise InputError(f"model.init: {path} cannot be read: {in_a_line(error)}") from None
    bad = [name for name, tensor in given.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise InputError(f"model.init: {path} holds values that are no numbers, in {_some(bad)}; use another model.")
    return given


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
