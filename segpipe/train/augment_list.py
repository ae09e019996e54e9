"""Augmentation by the user's list of MONAI random transforms, image by image, drawn from (seed, epoch, image)."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from monai.data import get_track_meta, set_track_meta
from monai.transforms import Compose, Flipd, MapTransform, RandAxisFlipd, RandFlipd, RandomizableTransform, Transposed

from segpipe.config import MonaiTransform
from segpipe.config.data import lone_sides, pairs_by_name, swapped_order
from segpipe.errors import ConfigError
from segpipe.preprocess.monai_transforms import monai_transform
from segpipe.train.seeds import draw_seed

Arrays = dict[str, np.ndarray]  # image and mask

# They mirror, and leave the masks' channels alone; where classes have a side, a mirrored left lung is a right lung.
FLIPS = (RandFlipd, RandAxisFlipd, Flipd, Transposed)
ADVICE = (
    "RandMirrord mirrors left and right and swaps the masks of such classes: "
    "{name: RandMirrord, keys: [image, mask], prob: 0.5}"
)


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

    def __call__(self, arrays: Arrays, image_id: str, epoch: int) -> Mapping[str, Any]:
        """The same arrays, epoch and id give the same result in any process."""
        self._compose.set_random_state(seed=draw_seed(self._seed, epoch, image_id))
        with _plain_tensors():
            augmented: Mapping[str, Any] = self._compose(arrays)
        _check(arrays, augmented)
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


def _check(before: Arrays, after: Mapping[str, Any]) -> None:
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


class RandMirrord(RandomizableTransform, MapTransform):
    """Mirror ``image`` and ``mask`` left-right with probability ``prob``, and swap the masks of paired classes.

    Arrays are channel first, (1, rows, columns) and (classes, rows, columns) in the order of ``classes``; the
    columns are reversed. Pairs are found by the classes' names (:func:`segpipe.config.data.pairs_by_name`) unless
    ``pairs`` names them; an empty list says that there are none.

    Raises:
        ValueError: other keys, pairs of what are no classes, or a class with a side and no counterpart.
    """

    def __init__(
        self,
        keys: Sequence[str] = ("image", "mask"),
        prob: float = 0.1,
        pairs: Sequence[Sequence[str]] | None = None,
        *,
        classes: Sequence[str] = (),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        if set(self.keys) != {"image", "mask"}:
            raise ValueError("keys must be [image, mask]: one mirrored without the other would not fit it")
        lone = [] if pairs is not None else lone_sides(classes)
        if lone:
            raise ValueError(
                f"{', '.join(lone)} {'has a side' if len(lone) == 1 else 'have sides'}, but the other side is no "
                "class, so that a mirrored mask would have the wrong name; pairs: [] mirrors nevertheless"
            )
        self.order = swapped_order(classes, pairs_by_name(classes) if pairs is None else pairs)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        # MONAI's transforms leave torch tensors, which cannot be read backwards
        image, mask = np.asarray(data["image"])[..., ::-1], np.asarray(data["mask"])[self.order, :, ::-1]
        return {**data, "image": np.ascontiguousarray(image), "mask": np.ascontiguousarray(mask)}


def refuse_flips(compose: Compose, classes: Sequence[str]) -> None:
    """MONAI's flips leave the masks' channels alone, so they are refused where classes have a side.

    That holds for a flip of the rows as well, which is the mirror image turned by 180 degrees. Rotations
    mirror nothing and are allowed; RandFlipd of both axes is one, but hardly ever meant so.

    Raises:
        ConfigError: naming the transform and the classes.
    """
    sided = [f"{a} and {b}" for a, b in pairs_by_name(classes)] + lone_sides(classes)
    for transform in _all_transforms(compose):
        if sided and isinstance(transform, FLIPS):
            raise ConfigError(
                f"train.augment: {type(transform).__name__} flips the pictures, but these classes have a side: "
                f"{', '.join(sided)}. In a mirror image left is right, and their masks would keep the wrong names. "
                f"{ADVICE}; RandRotate90d turns pictures without mirroring them."
            )


def _all_transforms(compose: Compose) -> Iterator[Any]:
    """Those within OneOf, SomeOf and the like, too."""
    for transform in compose.transforms:
        yield transform
        if isinstance(transform, Compose):
            yield from _all_transforms(transform)
