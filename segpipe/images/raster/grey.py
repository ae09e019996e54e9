"""The samples of a raster, and the one grey picture that they show."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

BLOCK_VALUES = 2**20
"""Values that are converted at a time, so that a large picture needs no large intermediate arrays."""


@dataclass(frozen=True)
class RasterImage:
    """A decoded raster before any choice about its colours.

    ``samples`` is uint8 or uint16, (rows, columns), or (rows, columns, 3) in R, G, B order. Grey of 1, 2
    or 4 bits is scaled to 0..255; 9 to 16 bits are kept as stored. With a ``palette`` ((256, 3) uint8)
    the samples are its indices. ``alpha``, (rows, columns), has the samples' dtype and full scale;
    it is None where every pixel is opaque. ``shape`` is the picture's in the file, larger than that of the
    samples where it was decoded at a fraction (``decoded_at``) of its size.
    """

    samples: np.ndarray
    bits: int
    colour: str
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    page: int | None = None
    decoded_at: int = 1
    shape: tuple[int, int] = (0, 0)  # of the samples where not given

    @property
    def maximum(self) -> int:
        """The largest value that grey can take."""
        return int(2**self.bits - 1) if self.samples.dtype == np.uint16 else 255


def to_grey(raster: RasterImage) -> tuple[np.ndarray, tuple[str, ...]]:
    """Grey of the samples' dtype, (rows, columns), and what was done: Rec. 601 luma, then over black."""
    notes: list[str] = []
    grey, coloured = raster.samples, False
    if raster.palette is not None:
        grey, coloured = _through_palette(grey, raster.palette)
    elif grey.ndim == 3:
        grey, coloured = _luma(grey)
    if coloured:
        notes.append("colour_to_grey")
    if raster.alpha is not None:
        grey = _over_black(grey, raster.alpha)
        notes.append("alpha_over_black")
    return grey, tuple(notes)


def meaningful(alpha: np.ndarray | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Drop an alpha that says nothing: opaque everywhere, or (a fault of some writers) nowhere."""
    if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max:
        return None, ()
    return (alpha, ()) if alpha.any() else (None, ("alpha_ignored",))


def _through_palette(indices: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, bool]:
    """The grey of each index, and whether a colour that is used is none."""
    used = np.zeros(256, bool)
    for part in _blocks(indices):
        used |= np.bincount(part.ravel(), minlength=256) > 0
    coloured = bool((palette[used] != palette[used, :1]).any())
    return cv2.LUT(np.ascontiguousarray(indices), _luma(palette[None])[0]), coloured


def _luma(rgb: np.ndarray) -> tuple[np.ndarray, bool]:
    """Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B, of (rows, columns, 3), and whether any pixel is coloured.

    Weights are in 1/65536 and sum to one, so greys stay exact and no version of a library changes a bit.
    """
    grey = np.empty(rgb.shape[:2], rgb.dtype)
    coloured = False
    for part, out in zip(_blocks(rgb), _blocks(grey, rgb[0].size), strict=True):
        red, green, blue = (part[..., i] for i in range(3))
        if (red == green).all() and (green == blue).all():
            out[:] = red
            continue
        coloured = True
        red, green, blue = (channel.astype(np.uint32) for channel in (red, green, blue))
        out[:] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return grey, coloured


def _over_black(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composite over black, as a film viewer would: what is transparent is dark."""
    full = np.uint32(np.iinfo(alpha.dtype).max)
    blended = np.empty_like(grey, order="C")
    for part, clear, out in zip(_blocks(grey), _blocks(alpha), _blocks(blended), strict=True):
        out[:] = (part.astype(np.uint32) * clear + full // 2) // full
    return blended


def _blocks(array: np.ndarray, per_row: int | None = None) -> Iterator[np.ndarray]:
    """Views of whole rows, of about BLOCK_VALUES values each."""
    step = max(1, BLOCK_VALUES // max(1, per_row or array[0].size))
    return (array[top : top + step] for top in range(0, len(array), step))
