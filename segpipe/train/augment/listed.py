"""Augmentation by the user's list of MONAI random transforms, image by image, drawn from (seed, epoch, image)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from monai.data import get_track_meta, set_track_meta
from monai.transforms import Compose

from segpipe.config import MonaiTransform
from segpipe.errors import ConfigError
from segpipe.train.augment.mirror import RandMirrord, refuse_flips
from segpipe.train.seeds import draw_seed
from segpipe.transforms import monai_transform

Pictures = dict[str, np.ndarray]


class ListedAugmentation:
    """A seeded pipeline on ``image`` (1, size, size) float32 in [0, 1] and ``mask`` (classes, size, size) 0/1.

    ``classes`` are the names of the mask's channels, for what mirrors left and right.

    Raises:
        ConfigError: unknown transforms or arguments, or a flip where classes have a side.
    """

    def __init__(self, wanted: Sequence[MonaiTransform], seed: int, classes: Sequence[str] = ()) -> None:
        self._seed = seed
        own = {"RandMirrord": partial(RandMirrord, classes=classes)}
        self._compose = Compose([monai_transform(entry, own) for entry in wanted])
        refuse_flips(self._compose, classes)

    def __call__(self, pictures: Pictures, image_id: str, epoch: int) -> Mapping[str, Any]:
        """The same pictures, epoch and id give the same result in any process."""
        self._compose.set_random_state(seed=draw_seed(self._seed, epoch, image_id))
        with _plain_tensors():
            augmented: Mapping[str, Any] = self._compose(pictures)
        _check(pictures, augmented)
        return augmented


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """MONAI's transforms without its record of what they did, which costs time and serves nothing here."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _check(before: Pictures, after: Mapping[str, Any]) -> None:
    """A transform of the user's may do what training cannot mean."""
    for key in ("image", "mask"):
        if tuple(after[key].shape) != before[key].shape:
            raise ConfigError(f"train.augment turned {key} of {before[key].shape} into {tuple(after[key].shape)}.")
    mask = np.asarray(after["mask"])
    if not ((mask == 0) | (mask == 1)).all():
        raise ConfigError(
            "train.augment left values other than 0 and 1 in a mask. Spatial transforms interpolate both keys alike "
            "unless told otherwise: add mode: [bilinear, nearest] for keys: [image, mask]."
        )
