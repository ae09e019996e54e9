"""What can be measured on one image to judge it later: numbers without thresholds.

The store keeps them, so that another threshold (:class:`segpipe.config.Checks`) reads no file again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segpipe.io.radiograph import Radiograph
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.polarity import COARSE, FINE, field, polarity_of, shrink

LEAST_SIDE = 64  # of the original; a smaller picture shows too little to judge its polarity
SAMPLED = 256  # rows and columns on which clipping is counted
THUMBNAIL = 32  # rows and columns; the picture is stretched to a square
HASH_SIDE, LOW_SIDE = 16, 8  # of the block of frequencies that is hashed, and of the lowest, which come first

MEASURES = ("polarity_score", "grey_levels", "flat_share", "black_share", "white_share", "mask_outside_field")
FINGERPRINTS = ("perceptual_hash", "thumbnail")


def share_column(name: str) -> str:
    """Column with the share of the picture that a class covers."""
    return f"mask_share_{name}"


def measure(
    image: np.ndarray, radiograph: Radiograph, geometry: Geometry, mask: np.ndarray | None, classes: Sequence[str]
) -> dict[str, Any]:
    """The columns of :data:`MEASURES` and :data:`FINGERPRINTS`, and one share for each class.

    ``image`` is the stored picture, uint8 or uint16 (size, size); ``mask`` is (classes, size, size) of 0 and 1,
    or None. Padding is left out of everything.
    """
    picture = np.ascontiguousarray(image[geometry.inside])
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    large_enough = min(geometry.rows, geometry.columns) >= LEAST_SIDE
    every_other = np.ascontiguousarray(picture[::2, ::2])
    counts = np.bincount(every_other.ravel(), minlength=256)
    fine = shrink(picture, FINE)
    coarse = shrink(fine, COARSE)
    rows, columns = field(coarse)
    within = _Shares(coarse.shape, rows, columns)
    small = cv2.resize(fine, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return {
        "polarity_score": round(polarity_of(fine, coarse[rows, columns]), 4) if large_enough else None,
        "grey_levels": int(np.count_nonzero(counts)),
        "flat_share": round(int(counts.max()) / every_other.size, 4),
        **_clipping(radiograph, within),
        **_mask_measures(None if mask is None else mask[(slice(None), *geometry.inside)], within, classes),
        "perceptual_hash": perceptual_hash(small),
        "thumbnail": small.tobytes(),
    }


def perceptual_hash(thumbnail: np.ndarray) -> str:
    """256 bits as 64 hexadecimal digits: the signs of the lowest frequencies (DCT-II) of a uint8 thumbnail.

    The first 64 are the lowest 8 x 8; the first bit of all (the mean) is 0. Re-encoding, another size or brightness
    change few of them.
    """
    low = cv2.dct(thumbnail.astype(np.float32))[:HASH_SIDE, :HASH_SIDE]
    bits = low.ravel()[_ORDER] > 0
    bits[0] = False
    return np.packbits(bits).tobytes().hex()


def _order() -> np.ndarray:
    """Indices into the block of frequencies, the lowest block first."""
    row, column = np.indices((HASH_SIDE, HASH_SIDE))
    return np.argsort(np.maximum(row, column).ravel() >= LOW_SIDE, kind="stable")


_ORDER = _order()


class _Shares:
    """A part of a picture as shares of its sides, to find it in the same picture of another size."""

    def __init__(self, shape: tuple[int, ...], rows: slice, columns: slice) -> None:
        self._ends = [(part.start / side, part.stop / side) for part, side in zip((rows, columns), shape, strict=True)]

    def of(self, picture: np.ndarray) -> np.ndarray:
        """That part of a picture (rows, columns), at least one pixel."""
        first, last = zip(
            *(
                (round(low * side), round(high * side))
                for (low, high), side in zip(self._ends, picture.shape, strict=True)
            ),
            strict=True,
        )
        return picture[first[0] : max(last[0], first[0] + 1), first[1] : max(last[1], first[1] + 1)]


def _clipping(radiograph: Radiograph, within: _Shares) -> dict[str, float]:
    """Shares of the field at the ends of the decoded values' range, on every n-th pixel: at least 256 a side."""
    pixels = within.of(radiograph.pixels)
    step = max(1, min(pixels.shape) // SAMPLED)
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    low, high = radiograph.value_range
    return {
        "black_share": round(float(np.count_nonzero(pixels <= low)) / pixels.size, 4),
        "white_share": round(float(np.count_nonzero(pixels >= high)) / pixels.size, 4),
    }


def _mask_measures(mask: np.ndarray | None, within: _Shares, classes: Sequence[str]) -> Mapping[str, float | None]:
    if mask is None:
        return {"mask_outside_field": None} | dict.fromkeys(map(share_column, classes))
    areas = [cv2.countNonZero(channel) for channel in mask]
    inside = sum(cv2.countNonZero(within.of(channel)) for channel in mask)
    shares = {share_column(name): round(area / mask[0].size, 6) for name, area in zip(classes, areas, strict=True)}
    return {"mask_outside_field": round(1 - inside / sum(areas), 4) if sum(areas) else 0.0, **shares}
