"""Fine-tuning: training starts from the weights of a given model, as far as they fit, its encoder frozen at first."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError, InputError, in_a_line
from segpipe.log import logger
from segpipe.models.card import ModelCard, contract_differences, read_card
from segpipe.models.networks.registry import build_network
from segpipe.models.weights import weights_hash

SHOWN = 5  # names in a message

# Names of the parameters on the way down, the deepest level with them. MONAI nests UNet and AttentionUnet: a level is
# (0: down, 1: what is deeper, 2: up), and what is neither 1 nor 2 is the way down or the deepest level.
ENCODERS = {
    "UNet": r"model\.(1\.submodule\.)*(?![12]\.)",
    "AttentionUnet": r"model\.(1\.submodule\.)*(?![12]\.)",
    "BasicUNet": r"(conv_0|down_\d)\.",
    "SegResNet": r"(convInit|down_layers)\.",
    "DynUNet": r"(input_block|downsamples|bottleneck)\.",
    "FCN": r"stages\.",
    "DeepLabV3Plus": r"backbone\.",
    "UNet2015": r"encoder\.",
    "UNetStrided": r"(encoder|down)\.",
}


def init_hash(stage: TrainStage) -> str:
    """What tells the weights of ``model.init`` from others, for the training fingerprint; empty without."""
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
    state = network.state_dict()  # tensors that share the network's memory; those not filled stay at random
    for name, fresh in state.items():
        stored = given.get(name)
        if stored is None:
            result.missing.append(name)
        elif name in axes:
            taken = take_classes(stored, fresh, old, classes) if apart and shared else None
            if taken is not None:
                fresh.copy_(taken)
                result.mixed.append(name)
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


def class_axes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The axes whose length depends on the number of classes, for each tensor that has such.

    Found by building the network twice, without memory, for other numbers of classes.

    Raises:
        ConfigError: the network is unknown to this version.
    """
    with torch.device("meta"):
        networks = [build_network(card.network, len(card.classes) + more, card.options) for more in (0, 1)]
    shapes, larger = ({name: tensor.shape for name, tensor in net.state_dict().items()} for net in networks)
    return {
        name: tuple(axis for axis, length in enumerate(shape) if larger[name][axis] != length)
        for name, shape in shapes.items()
        if larger[name] != shape
    }


def is_separable(axes: dict[str, tuple[int, ...]]) -> bool:
    """Whether each class has output channels of its own that no other class's weights touch.

    Not so in MONAI's UNet with residual units, whose last convolution goes from all classes to all.
    """
    return bool(axes) and set(axes.values()) == {(0,)}


def take_classes(given: Tensor, fresh: Tensor, old: Sequence[str], new: Sequence[str]) -> Tensor | None:
    """``fresh`` with the channels of the classes that ``given`` knows; None where the shapes do not allow it.

    A class may own several neighbouring channels, as before a pixel shuffle: (classes * n, ...), class by class.

    >>> take_classes(torch.arange(4), torch.zeros(4, dtype=int), ["heart", "lung"], ["lung", "rib"]).tolist()
    [2, 3, 0, 0]
    """
    per_class = len(given) // len(old)
    if given.shape[1:] != fresh.shape[1:] or len(fresh) != per_class * len(new) or len(given) != per_class * len(old):
        return None
    source = given.reshape(len(old), per_class, *given.shape[1:])
    target = fresh.clone().reshape(len(new), per_class, *fresh.shape[1:])
    for number, name in enumerate(new):
        if name in old:
            target[number] = source[old.index(name)]
    return target.reshape(fresh.shape)


def encoder_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters on the network's way down, the deepest level included.

    A network may say so itself by a method ``encoder_parameters``; MONAI's are known by their names.
    """
    own = getattr(network, "encoder_parameters", None)
    if own is not None:
        return list(own())
    pattern = ENCODERS.get(type(network).__name__)
    if pattern is None:
        raise ConfigError(
            f"train.freeze_encoder_epochs: which part of {type(network).__name__} is its encoder is not known; set it "
            "to 0, or choose another network."
        )
    return [parameter for name, parameter in network.named_parameters() if re.match(pattern, name)]


def freeze_encoder(network: nn.Module, epoch: int, frozen_epochs: int) -> None:
    """Keep the encoder still in the first ``frozen_epochs`` epochs; to be called after each ``network.train()``.

    Frozen parameters get no gradient, so that no optimizer moves them, and running statistics stay as they are.
    Which epoch it is decides, counted from 1, and nothing else: a resumed training does the same.
    """
    if frozen_epochs == 0:
        return
    encoder, frozen = encoder_parameters(network), epoch <= frozen_epochs
    for parameter in encoder:
        parameter.requires_grad_(not frozen)
    for module in network.modules() if frozen else ():
        weight = getattr(module, "weight", None)
        if getattr(module, "running_mean", None) is not None and is_among(weight, encoder):
            module.eval()


def is_among(parameter: Tensor | None, parameters: Sequence[Tensor]) -> bool:
    """Whether it is one of them, the very object."""
    return any(parameter is other for other in parameters)
