"""Pictures through one or several models, whose mean probability decides.

Whatever else may compute probabilities one day takes the place of :class:`Ensemble`; before it are pictures as the
store holds them, behind it probabilities in the network's square.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segpipe.config import ClassValues, Dicom, Predict, Preprocess
from segpipe.config.sides import lone_sides, pairs_by_name, swapped_order
from segpipe.errors import ConfigError
from segpipe.model.card import check_contract, pictures_seen, read_card
from segpipe.model.device import choose_device, fix_arithmetic
from segpipe.model.inputs import to_input
from segpipe.model.versions import versions
from segpipe.model.weights import load_model, weights_hash
from segpipe.predict.masks import build_inferer


class Ensemble:
    """Trained models by name, each loaded when it is first needed.

    Classes and pictures are those that ``wanted_by`` names, in a message to somebody whose models differ.

    Raises:
        ConfigError: a model wants other pictures or has other classes than those given.
        InputError: a folder holds no model.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        classes: dict[str, ClassValues],
        preprocess: Preprocess,
        dicom: Dicom,
        predict: Predict,
        wanted_by: str = "the config",
    ) -> None:
        fix_arithmetic(predict.threads)
        self.folders, self._predict = dict(folders), predict
        for folder in folders.values():
            check_contract(read_card(folder), folder, classes, preprocess, dicom, wanted_by)
        self._mirror = mirror_order(list(classes)) if predict.mirror else None
        self._device = choose_device(predict.device)
        self._inferer = build_inferer(predict, preprocess.size)
        self._hashes = {name: weights_hash(folder) for name, folder in folders.items()}
        self._networks: dict[str, nn.Module] = {}

    def load(self) -> None:
        """Load all networks now, so that one that cannot be loaded is known before any work is done."""
        for name in self.folders:
            self._network(name)

    def probabilities(self, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Of stored pictures (n, size, size) uint8 or uint16, float32 (n, classes, size, size)."""
        networks = [self._network(name) for name in names]
        return mean_probability(images, networks, self._inferer, self._device, self._mirror)

    def recipe(self, names: Sequence[str]) -> list[Any]:
        """All of this that decides a probability."""
        settings = [self._predict.inferer, self._predict.threads, self._mirror, *versions(), self._device.type]
        return [*(self._hashes[name] for name in names), *settings]

    def pictures_seen(self) -> set[str]:
        """Hashes of the pictures that trained or validated any of the models."""
        return set().union(*(pictures_seen(folder) for folder in self.folders.values()))

    def _network(self, name: str) -> nn.Module:
        if name not in self._networks:
            self._networks[name] = load_model(self.folders[name]).to(self._device)
        return self._networks[name]


def mirror_order(classes: Sequence[str]) -> list[int]:
    """Which channel of a mirrored picture's probabilities belongs to each class.

    Raises:
        ConfigError: a class has a side and no counterpart.
    """
    lone = lone_sides(classes)
    if lone:
        raise ConfigError(
            f"predict.mirror: the model knows {', '.join(lone)}, but not the other side, which is what a mirrored "
            "picture shows in its place. Predict without mirroring."
        )
    return swapped_order(classes, pairs_by_name(classes))


@torch.no_grad()
def mean_probability(
    images: np.ndarray,
    networks: Sequence[nn.Module],
    inferer: Callable[[Tensor, nn.Module], Any],
    device: torch.device,
    mirror: Sequence[int] | None = None,
) -> np.ndarray:
    """Mean over the networks of each class's probability, float32 (n, classes, size, size).

    ``images`` are stored pictures (n, size, size), uint8 or uint16. With ``mirror`` (:func:`mirror_order`) it is the
    mean over the pictures and their mirror images, too.
    """
    # A batch of one takes another convolution kernel, which rounds differently; two are always alike.
    rows = images if len(images) > 1 else np.concatenate([images, images])
    pictures = torch.from_numpy(rows[:, np.newaxis].astype(np.float32) / np.iinfo(rows.dtype).max)
    inputs = to_input(pictures.to(device))
    found = [torch.sigmoid(inferer(inputs, network).float()) for network in networks]
    if mirror is not None:
        found += [_mirrored(torch.sigmoid(inferer(inputs.flip(3), net).float()), mirror) for net in networks]
    total = found[0]
    for probability in found[1:]:
        total = total + probability
    return (total / len(found)).cpu().numpy()[: len(images)]


def _mirrored(probability: Tensor, order: Sequence[int]) -> Tensor:
    """A mirror image's probabilities turned back, left and right in each other's place."""
    return probability.flip(3)[:, list(order)]
