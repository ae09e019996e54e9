"""Pictures through one or several models, whose mean probability decides: which models are meant, and what they give.

Before an :class:`Ensemble` are pictures as the store holds them, behind it probabilities in the network's square. What
computes the networks is an engine's business (:mod:`segpipe.predict.engines`).
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segpipe.config import ClassValues, Dicom, Predict, Preprocess
from segpipe.config.data import lone_sides, pairs_by_name, swapped_order
from segpipe.errors import ConfigError, InputError
from segpipe.log import logger
from segpipe.models.card import check_contract, pictures_seen, read_card
from segpipe.models.device import choose_device, fix_arithmetic, to_input
from segpipe.models.weights import load_model, versions, weights_hash
from segpipe.predict.engines import check_parity, choose_batch_size, choose_engine, parity
from segpipe.predict.pipeline import Cores
from segpipe.predict.torch_engine import Eager, Logits
from segpipe.score.calibration import disagreement

CARD = "model.json"


def by_name(folders: Sequence[Path]) -> dict[str, Path]:
    """Model folders by the shortest ends of their paths that differ: fold0 and fold1, or a/fold0 and b/fold0.

    Names go into tables, so they tell no more of a path than they must.

    Raises:
        ConfigError: a folder is there twice.
    """
    paths = [Path(os.path.normpath(folder.absolute())) for folder in folders]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(f"The model {twice} is given twice, so that it would count double in the mean. Name it once.")
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, folders, strict=True))
    return {}


def find_models(place: Path) -> list[Path]:
    """The model folders that ``place`` means: one itself, an exported bundle, or a run's models.

    Raises:
        InputError: there is none.
    """
    for folder in (place, place / "models"):  # a model; a bundle, or the results folder of a run
        if (folder / CARD).exists():
            return [folder]
        found = sorted(path.parent for path in folder.glob(f"*/{CARD}"))
        if found:
            return found
    what = "does not exist" if not place.exists() else "holds no model.json, neither itself nor one or two levels below"
    raise InputError(
        f"--model {place}: {what}. Give the folder of a trained model (results/<name>/models/fold0), of all models of "
        "a run (results/<name>/models), or an exported bundle."
    )


class Ensemble:
    """Trained models by name, each loaded when it is first needed.

    ``disagreements`` has, for each picture of the last :meth:`probabilities` and class, how far the models' masks are
    from each other (:func:`segpipe.score.calibration.disagreement`).

    Classes and pictures are those that ``wanted_by`` names, in a message to somebody whose models differ. At most
    ``threads`` threads compute at a time, those that hold ``cores``; their number changes no byte. ``engine`` says what
    computes, in words; ``parity`` has, for each model that an engine other than float32 PyTorch computed, the largest
    difference of a probability from PyTorch's, on the first batch. ``decided`` is what ``engine: auto`` means on a CPU,
    where a run decided that before.

    Raises:
        ConfigError: a model wants other pictures or has other classes than those given; the engine cannot be used.
        InputError: a folder holds no model.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        classes: dict[str, ClassValues],
        preprocess: Preprocess,
        dicom: Dicom,
        predict: Predict,
        threads: int = 1,
        wanted_by: str = "the config",
        decided: str = "",
    ) -> None:
        fix_arithmetic(threads)
        self.cores = Cores(threads)
        self.folders, self._predict, self._size = dict(folders), predict, preprocess.size
        for folder in folders.values():
            check_contract(read_card(folder), folder, classes, preprocess, dicom, wanted_by)
        self._mirror = mirror_order(list(classes)) if predict.mirror else None
        self._device = choose_device(predict.device)
        self._engine = choose_engine(predict, preprocess.size, self._device, self.cores, decided)
        self.engine = str(self._engine)
        self.parity: dict[str, float] = {}
        self.disagreements: list[list[float]] = []
        self._hashes = {name: weights_hash(folder) for name, folder in folders.items()}
        self._networks: dict[str, Logits] = {}

    @cached_property
    def batch_size(self) -> int:
        """How many pictures :meth:`probabilities` takes at a time; on CUDA with ``auto``, tried with all models.

        Raises:
            ConfigError: not even one fits.
        """
        wanted, cuda = self._predict.batch_size, self._device.type == "cuda"
        tried = self.folders.values() if cuda and wanted == "auto" else ()
        networks = [self._eager(folder, self._engine.precision) for folder in tried]
        return choose_batch_size(wanted, networks, self._size, self._device)

    def load(self) -> None:
        """Load all networks now, so that one that cannot be loaded is known before any work is done."""
        for name in self.folders:
            self._network(name)

    def probabilities(self, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Of up to ``batch_size`` stored pictures (n, size, size) uint8 or uint16, float32 (n, classes, size, size).

        Raises:
            ConfigError: the engine fails, or computes something else than PyTorch.
        """
        networks = [self._network(name) for name in names]
        for name in names:
            if name not in self.parity and not self._engine.exact:
                self._check(name, images)
        found = _each(images, networks, self._device, self._mirror, self._engine.fewest(self.batch_size))
        self.disagreements = _disagreements(found[: len(networks)], len(images), self._predict.threshold)
        return _mean(found)[: len(images)]

    def cache_key_parts(self, names: Sequence[str]) -> list[Any]:
        """All of this that decides a probability; cuDNN's kernels are chosen by the size of a batch."""
        batch_size = self.batch_size if self._device.type == "cuda" else None
        settings = [self.engine, batch_size, self._predict.inferer, self._mirror, *versions()]
        settings.append(self._device.type)
        return [*(self._hashes[name] for name in names), *settings]

    def pictures_seen(self) -> set[str]:
        """Hashes of the pictures that trained or validated any of the models."""
        return set().union(*(pictures_seen(folder) for folder in self.folders.values()))

    def _network(self, name: str) -> Logits:
        if name not in self._networks:
            self._networks[name] = self._engine.prepare(load_model(self.folders[name]))
        return self._networks[name]

    def _check(self, name: str, images: np.ndarray) -> None:
        """Compare with float32 PyTorch, whose network is only needed here."""
        inputs = _inputs(images, self._device, self._engine.fewest(self.batch_size))
        difference = parity(inputs, self._networks[name], self._eager(self.folders[name], torch.float32))
        check_parity(difference, self._engine, name)
        self.parity[name] = difference
        logger.info(
            "engine %s: model %s differs from PyTorch by at most %.1e of probability on the first batch",
            self.engine, name, difference,
        )  # fmt: skip

    def _eager(self, folder: Path, precision: torch.dtype) -> Logits:
        engine = Eager(self._size, self._device, precision, self.cores, self._engine.inferer)
        return engine.prepare(load_model(folder))


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


def mean_probability(
    images: np.ndarray,
    networks: Sequence[Logits],
    device: torch.device,
    mirror: Sequence[int] | None = None,
    fewest: int = 1,
) -> np.ndarray:
    """Mean over the networks of each class's probability, float32 (n, classes, size, size).

    ``images`` are stored pictures (n, size, size), uint8 or uint16. With ``mirror`` (:func:`mirror_order`) it is the
    mean over the pictures and their mirror images, too. Networks see at least ``fewest`` pictures.
    """
    return _mean(_each(images, networks, device, mirror, fewest))[: len(images)]


@torch.no_grad()
def _each(
    images: np.ndarray, networks: Sequence[Logits], device: torch.device, mirror: Sequence[int] | None, fewest: int
) -> list[Tensor]:
    """Each network's probabilities, and then those of the mirror images."""
    inputs = _inputs(images, device, fewest)
    found = [torch.sigmoid(network(inputs)) for network in networks]
    if mirror is not None:
        found += [_mirrored(torch.sigmoid(network(inputs.flip(3))), mirror) for network in networks]
    return found


def _mean(found: Sequence[Tensor]) -> np.ndarray:
    total = found[0]
    for probability in found[1:]:
        total = total + probability
    return np.asarray((total / len(found)).cpu().numpy())


def _disagreements(found: Sequence[Tensor], pictures: int, threshold: float) -> list[list[float]]:
    """Of each picture and class, between the masks of the networks (:func:`segpipe.score.calibration.disagreement`).

    NaN for a single network, whose masks need not be looked at.
    """
    if len(found) == 1:
        return [[float("nan")] * found[0].shape[1] for _ in range(pictures)]
    masks = np.stack([(probability >= threshold).cpu().numpy() for probability in found])
    return [[disagreement(masks[:, n, index]) for index in range(masks.shape[2])] for n in range(pictures)]


def _inputs(images: np.ndarray, device: torch.device, fewest: int) -> Tensor:
    """What networks see, (n, 1, size, size); the first picture again where there are fewer than ``fewest``."""
    rows = np.concatenate([images, np.repeat(images[:1], max(0, fewest - len(images)), axis=0)])
    pictures = torch.from_numpy(rows[:, np.newaxis].astype(np.float32) / np.iinfo(rows.dtype).max)
    return to_input(pictures.to(device))


def _mirrored(probability: Tensor, order: Sequence[int]) -> Tensor:
    """A mirror image's probabilities turned back, left and right in each other's place."""
    return probability.flip(3)[:, list(order)]
