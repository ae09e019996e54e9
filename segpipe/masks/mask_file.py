"""What a mask file holds, whatever its format: labels that can be asked for by their names.

The most common kind, an image of numbers, is :class:`MaskImage`; :mod:`segpipe.masks.seg` and
:mod:`segpipe.masks.labelme` have the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np

from segpipe.config import ClassValues
from segpipe.errors import ImageError
from segpipe.files.source import Format
from segpipe.images.nifti import load as load_nifti
from segpipe.images.raster.grey import RasterImage, to_grey
from segpipe.images.raster.read import decode_raster

HISTOGRAM_LENGTH = 8
MOST_LABELS = 16  # an image with more values has soft edges, or does not show labels
LONGEST_NAME = 40
MOST_SOFT = 0.3  # of all pixels; radiographs have more, and masks with soft edges hardly a tenth of that
AREA_SHARE = 0.2  # of a value's pixels that lie among their like: few on an edge, most in an area


@dataclass(frozen=True)
class Label:
    """One label of a mask file: every name it answers to, and how messages show it."""

    names: frozenset[int | str]
    shown: str


@dataclass(frozen=True)
class Plane:
    """Where something is: ``pixels`` (rows, columns) uint8 of 0 and 1, in the file's own size.

    ``outside`` is the share of what was drawn that lies beside the image, ``notes`` what else was decided.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    outside: float = 0.0


class MaskFile(ABC):
    """A mask file, before its labels are given to classes.

    Planes are made when asked for, because a file may name hundreds of labels.
    """

    names: ClassVar[tuple[type[int] | type[str], ...]]  # by what its labels can be asked for
    kind: ClassVar[str]  # what it is, to end the sentence "is a ..."

    @abstractmethod
    def labels(self) -> list[Label]:
        """The labels there are, without background, in a fixed order."""

    @abstractmethod
    def plane(self, wanted: Sequence[Label]) -> Plane:
        """Where any of the wanted labels is."""

    def plane_of_one_class(self, name: str) -> Plane:
        """Where the class ``name`` is, which the file shows alone; ImageError if it shows several."""
        labels = self.labels()
        if len(labels) > 1:
            raise ImageError(
                f"should show one class, but has {len(labels)} labels ({self.histogram()}); "
                f"name them in the config, as in classes: {{{name}: [{self.example(labels)}]}}"
            )
        return self.plane(labels)

    def plane_of(self, name: str, values: ClassValues, named: set[int | str]) -> Plane:
        """Where the class ``name`` is, given its values in the config and those ``named`` for any class."""
        if values is None:
            return self.plane_of_one_class(name)
        labels = self.labels()
        if any(not isinstance(value, self.names) for value in values):
            found, expected = ("texts", "numbers") if isinstance(values[0], str) else ("numbers", "texts")
            raise ImageError(
                f"is a {self.kind}, whose labels are {expected}, but the config gives {found} for {name}; "
                f"write them as in classes: {{{name}: [{self.example(labels)}]}}"
            )
        strange = [label for label in labels if not label.names & named]
        if strange:
            raise ImageError(f"has values that no class names ({self.histogram()}); {_advice(strange, name, named)}")
        return self.plane([label for label in labels if not label.names.isdisjoint(values)])

    def histogram(self) -> str:
        """The labels with their number of pixels, the first few."""
        labels = self.labels()
        first = labels[:HISTOGRAM_LENGTH]
        counts = [(label.shown, int(np.count_nonzero(self.plane([label]).pixels))) for label in first]
        return _histogram(counts, len(labels))

    def example(self, labels: Sequence[Label]) -> str:
        """A value as one would write it in the config."""
        if not labels:
            return "1" if int in self.names else '"left lung"'
        return next((str(name) for name in labels[0].names if isinstance(name, int)), labels[0].shown)


class MaskImage(MaskFile):
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
        return [Label(frozenset([value]), str(value)) for value in self._counts if value != 0]

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

    def histogram(self) -> str:
        """With background, which is a value of the image like the others."""
        return _histogram([(str(value), count) for value, count in self._counts.items()], len(self._counts))

    @cached_property
    def _counts(self) -> dict[int, int]:
        return _count(self.numbers)


def image_from_raster(data: bytes, format_: Format) -> MaskImage:
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
    return MaskImage(numbers, grey, raster.maximum)


def image_from_nifti(data: bytes) -> MaskImage:
    """A NIfTI of one slice with whole numbers from 0 to 65535."""
    values, _ = load_nifti(data)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535 or (values != np.rint(values)).any():
        raise ImageError(
            "is a NIfTI with values that are no labels (negative, fractions, or above 65535); export whole numbers"
        )
    dtype = np.uint8 if values.max() <= 255 else np.uint16
    numbers = np.ascontiguousarray(values.astype(dtype))
    # only a file of bytes can be told to mean 255 by white
    return MaskImage(numbers, numbers, 255 if values.dtype == np.uint8 else 0)


def _from_palette(raster: RasterImage) -> MaskImage:
    """Indices are the labels; a palette of greys, which may be inverted, is looked through for the grey."""
    assert raster.palette is not None
    used = raster.palette[np.unique(raster.samples)]
    if (used == used[:, :1]).all():
        return MaskImage(raster.samples, to_grey(raster)[0], 255)
    return MaskImage(raster.samples, raster.samples, 0)


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


def _advice(strange: Sequence[Label], name: str, named: set[int | str]) -> str:
    """What to do about labels that no class names; of texts, only those of the config are shown."""
    if len(strange) > MOST_LABELS:
        return (
            "so many are soft edges, or a picture that is no mask; a file of one class with soft edges is read with "
            f"classes: {{{name}: null}}, others have to be exported without smoothing"
        )
    texts = {text.casefold(): text for text in sorted(value for value in named if isinstance(value, str))}
    shown = []
    for label in strange:
        own = [value.casefold() for value in label.names if isinstance(value, str)]
        near = [texts[match] for text in own for match in get_close_matches(text, texts, n=1, cutoff=0.8)]
        shown.append(f"{label.shown} [nearly {quoted(near[0])}]" if near else label.shown)
    return f"give {_list(shown)} to a class in the config's classes, or correct the mask"


def _histogram(counts: Sequence[tuple[str, int]], total: int) -> str:
    """The first values with their number of pixels, of ``total`` values that there are."""
    shown = [f"{value}: {count}" for value, count in counts[:HISTOGRAM_LENGTH]]
    return "value: pixels " + ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")


def quoted(text: str) -> str:
    """A label's text as a message may show it: one line, not long."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return f'"{clean[:LONGEST_NAME]}{"..." if len(clean) > LONGEST_NAME else ""}"'


def _list(shown: Iterable[str]) -> str:
    items = list(shown)
    more = len(items) - HISTOGRAM_LENGTH
    return ", ".join(items[:HISTOGRAM_LENGTH]) + (f" and {more} more" if more > 0 else "")
