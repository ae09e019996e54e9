"""Run lengths to pixels: the text of CSV columns, and the counts of COCO."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.io.run_lengths import counts_of
from segpipe.io.source import check_size

EMPTY = ("", "-1")
CHOICES: dict[str, tuple[object, ...]] = {
    "order": ("rows", "columns"),
    "base": (0, 1),
    "starts": ("absolute", "relative"),
}


@dataclass(frozen=True)
class RunLengths:
    """How pairs "start length" are meant; the defaults are those of CheXmask.

    ``order``: pixels are counted along rows or along columns. ``base``: the number of the first pixel. ``starts``:
    absolute, or relative to the end of the run before.
    """

    order: str = "rows"  # rows | columns
    base: int = 1  # 0 | 1
    starts: str = "absolute"  # absolute | relative

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                expected = " or ".join(map(str, choices))
                raise InputError(f"--{field} {getattr(self, field)}: there is no such form; write {expected}.")

    def decode(self, text: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask of ``shape`` (rows, columns), uint8 of 0 and 1.

        Empty text and -1 mean an empty mask. Raises ImageError for everything that is no row of runs within the
        picture, one after the other.
        """
        check_size(*shape)
        if text.strip() in EMPTY:
            return np.zeros(shape, np.uint8)
        starts, lengths = _pairs(text)
        if self.starts == "relative":
            starts = np.cumsum(starts) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        starts = starts - self.base
        ends = starts + lengths
        pixels = shape[0] * shape[1]
        if starts[0] < 0 or ends[-1] > pixels or (starts[1:] < ends[:-1]).any():
            raise ImageError(
                f"has runs that overlap, or leave the picture of {shape[0]} x {shape[1]} pixels; "
                "check its size, and whether starts are absolute or relative and count from 0 or 1"
            )
        gaps = starts - np.concatenate([[0], ends[:-1]])
        return _drawn(np.append(np.stack([gaps, lengths], axis=1).ravel(), pixels - ends[-1]), shape, self.order)


def from_coco_counts(counts: object, size: object, shape: tuple[int, int]) -> np.ndarray:
    """COCO's counts, a list or its compressed text: lengths of runs of 0 and 1 in turn, along columns."""
    if not isinstance(size, list) or tuple(size) != shape:
        raise ImageError(f"has run lengths of another size than its image's {shape[0]} x {shape[1]} pixels")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= shape[0] * shape[1] for run in runs):
        raise ImageError("has run lengths that are no counts of pixels")
    if sum(runs) != shape[0] * shape[1]:
        raise ImageError(f"has run lengths for {sum(runs)} pixels and an image of {shape[0]} x {shape[1]}")
    return _drawn(runs, shape, "columns")


def _pairs(text: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        numbers = np.array(text.split()).astype(np.int64)
    except (ValueError, OverflowError):
        raise ImageError("has run lengths that are not whole numbers") from None
    if len(numbers) % 2:
        raise ImageError(f"has {len(numbers)} numbers, which are no pairs of start and length")
    if numbers.min() < 0 or numbers.max() > 2**40:
        raise ImageError("has run lengths below 0, or beyond any picture")
    return numbers[0::2], numbers[1::2]


def _uncompressed(text: str) -> list[int]:
    try:
        counts: list[int] = counts_of(text).tolist()
    except ValueError as error:
        raise ImageError(f"has {error}") from None
    return counts


def _drawn(runs: Sequence[int] | np.ndarray, shape: tuple[int, int], order: str) -> np.ndarray:
    values = np.arange(len(runs), dtype=np.int64) % 2
    pixels = np.repeat(values.astype(np.uint8), runs)
    plane = pixels.reshape(shape) if order == "rows" else pixels.reshape(shape[::-1]).T
    return np.ascontiguousarray(plane)
