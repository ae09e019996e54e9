"""Augmentation by MONAI random transforms, drawn from (seed, epoch, image) and from nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
from monai.data import get_track_meta, set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
)

from segpipe.config import MonaiTransform
from segpipe.errors import ConfigError
from segpipe.train.mirror import RandMirrord, refuse_flips
from segpipe.train.seeds import draw_seed
from segpipe.transforms import monai_transform

Pictures = dict[str, np.ndarray]


class Augmentation:
    """A seeded pipeline on ``image`` (1, size, size) float32 in [0, 1] and ``mask`` (classes, size, size) 0/1.

    ``classes`` are the names of the mask's channels, for what mirrors left and right.

    Raises:
        ConfigError: unknown transforms or arguments, or a flip where classes have a side.
    """

    def __init__(
        self,
        wanted: Literal["light", "none"] | list[MonaiTransform],
        size: int,
        seed: int,
        classes: Sequence[str] = (),
    ) -> None:
        self._seed = seed
        if wanted == "light":
            self._compose = light(size)
        else:
            own = {"RandMirrord": partial(RandMirrord, classes=classes)}
            self._compose = Compose([] if wanted == "none" else [monai_transform(entry, own) for entry in wanted])
            refuse_flips(self._compose, classes)

    def __call__(self, pictures: Pictures, image_id: str, epoch: int) -> Mapping[str, Any]:
        """The same pictures, epoch and id give the same result in any process."""
        if not self._compose.transforms:
            return pictures
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


def light(size: int) -> Compose:
    """Poses and exposures that a second visit to the same X-ray room might give.

    No mirroring: hearts lie on one side.
    """
    shift = 0.05 * size
    return Compose(
        [
            RandAffined(
                keys=("image", "mask"),
                prob=0.8,
                rotate_range=np.deg2rad(10),
                scale_range=(0.12, 0.12),
                translate_range=(shift, shift),
                mode=("bilinear", "nearest"),
                padding_mode="zeros",  # black, as letterboxing pads
            ),
            RandAdjustContrastd(keys="image", prob=0.5, gamma=(0.7, 1.4)),
            RandScaleIntensityd(keys="image", prob=0.3, factors=0.15),
            RandShiftIntensityd(keys="image", prob=0.3, offsets=0.08),
            RandGaussianNoised(keys="image", prob=0.2, std=0.03),
        ]
    )
