"""Masks that are pictures: each pixel holds one number."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import Format
from segpipe.images.raster.grey import Raster, to_grey
from segpipe.images.raster.read import decode_raster
from segpipe.masks.labels import MOST_LABELS, Label, MaskFile, Plane, histogram

MOST_SOFT = 0.3  # of all pixels; radiographs have more, and masks with soft edges hardly a tenth of that
AREA_SHARE = 0.2  # of a value's pixels that lie among their like: few on an edge, most in an area


class MaskPicture(MaskFile):
    """A mask as numbers and as grey; both are (rows, columns), uint8 or uint16.

    ``numbers`` are raw: palette indices, and 0..3 for a grey of 2 bits; 0 is background. ``grey`` is what a
    viewer shows, or the indices again where a palette has colours. ``maximum`` is the largest value that grey
    can take, 0 where edges cannot be soft.
    """

    names: ClassVar[tuple[type[int] | type[str], ...]] = (int,)
    kind = "picture"

    def __init__(self, numbers: np.ndarray, grey: np.ndarray, maximum: int) -> None:
        self.numbers, self.grey, self.maximum = numbers, grey, maximum

    def labels(self) -> list[Label]:
        return [_label(value) for value in self._counts if value != 0]

    def plane(self, wanted: Sequence[Label]) -> Plane:
        table = np.zeros(65536 if self.numbers.dtype == np.uint16 else 256, np.uint8)
        table[[value for label in wanted for value in label.names if isinstance(value, int)]] = 1
        return Plane(table[self.numbers])

    def plane_of_one_class(self, name: str) -> Plane:
        """What is not 0, or brighter than half if anti-aliased."""
        counts = _count(self.grey)
        if len(counts) == 1 or (len(counts) == 2 and 0 in counts):
            return Plane(_where(self.grey > 0))
        if self.maximum and max(counts) > self.maximum // 2 and not _has_areas_between(self.grey, counts):
            if (soft := _soft_share(counts)) > MOST_SOFT:
                raise ImageError(
                    f"looks like a grey picture, not like a mask: {soft:.0%} of its pixels are neither nearly black "
                    "nor nearly white; give the mask, or export it without smoothing"
                )
            return Plane(_where(self.grey > self.maximum // 2), ("mask_antialiased",))
        raise ImageError(
            f"should show one class, but looks like a label image ({self.histogram()}); "
            f"name its values in the config, as in classes: {{{name}: [1, 2]}}"
        )

    def pixels(self, label: Label) -> int:
        return sum(self._counts.get(value, 0) for value in label.names if isinstance(value, int))

    def histogram(self) -> str:
        """With background, which is a value of the picture like the others."""
        return histogram([(str(value), count) for value, count in self._counts.items()], len(self._counts))

    @cached_property
    def _counts(self) -> dict[int, int]:
        return _count(self.numbers)


def picture_from_raster(data: bytes, format_: Format) -> MaskPicture:
    """A PNG, TIFF, BMP or GIF."""
    raster = decode_raster(data, format_)
    if raster.palette is not None:
        return _from_palette(raster)
    if raster.samples.ndim == 3 and (raster.samples != raster.samples[..., :1]).any():
        raise ImageError("is a colour picture, and colours are not labels; export it as grey or with a palette")
    grey, _ = to_grey(raster)
    numbers = raster.samples[..., 0] if raster.samples.ndim == 3 else raster.samples
    if raster.bits < 8:
        numbers = numbers // (255 // (2**raster.bits - 1))
    if raster.alpha is not None:
        numbers = np.where(raster.alpha > 0, numbers, 0).astype(numbers.dtype)
    return MaskPicture(numbers, grey, raster.maximum)


def picture_from_nifti(data: bytes) -> MaskPicture:
    """A NIfTI of one slice with whole numbers from 0 to 65535."""
    from segpipe.images.nifti import load

    values, _ = load(data)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535 or (values != np.rint(values)).any():
        raise ImageError(
            "is a NIfTI with values that are no labels (negative, fractions, or above 65535); export whole numbers"
        )
    dtype = np.uint8 if values.max() <= 255 else np.uint16
    numbers = np.ascontiguousarray(values.astype(dtype))
    # only a file of bytes can be told to mean 255 by white
    return MaskPicture(numbers, numbers, 255 if values.dtype == np.uint8 else 0)


def _from_palette(raster: Raster) -> MaskPicture:
    """Indices are the labels; a palette of greys, which may be inverted, is looked through for the grey."""
    assert raster.palette is not None
    used = raster.palette[np.unique(raster.samples)]
    if (used == used[:, :1]).all():
        return MaskPicture(raster.samples, to_grey(raster)[0], 255)
    return MaskPicture(raster.samples, raster.samples, 0)


def _label(value: int) -> Label:
    return Label(frozenset([value]), str(value))


def _count(values: np.ndarray) -> dict[int, int]:
    """Value -> number of pixels, rising."""
    counts = np.bincount(values.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _where(foreground: np.ndarray) -> np.ndarray:
    plane: np.ndarray = foreground.astype(np.uint8)
    return plane


def _soft_share(counts: Mapping[int, int]) -> float:
    """The share of pixels with values between an eighth and seven eighths of the largest."""
    largest = max(counts)
    return sum(n for value, n in counts.items() if largest < 8 * value < 7 * largest) / sum(counts.values())


def _has_areas_between(grey: np.ndarray, counts: Mapping[int, int]) -> bool:
    """Whether a value between the lowest and the highest fills areas, as labels do and soft edges do not."""
    between = [value for value in list(counts)[:-1] if value != 0]
    if len(between) > MOST_LABELS:
        return False
    inner = {value: int(cv2.erode(_where(grey == value), np.ones((3, 3), np.uint8)).sum()) for value in between}
    return any(inner[value] > AREA_SHARE * counts[value] for value in between)
