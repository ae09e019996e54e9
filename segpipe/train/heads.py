"""Which tensors of a network belong to its classes, and how channels of shared classes are taken over."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segpipe.model.card import ModelCard
from segpipe.model.networks import build_network


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
    """``fresh`` with the channels of the classes that ``given`` knows; None where the shapes allow it not.

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
