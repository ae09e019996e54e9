"""What can be measured on one image to judge it later: numbers without thresholds.

The store keeps them, so that another threshold (:class:`segpipe.config.Checks`) reads no file again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segpipe.images.types import Radiograph
from segpipe.preprocess.geometry import Geometry

MEASURES = ("polarity_score", "grey_levels", "flat_share", "black_share", "white_share", "mask_outside_field")
FINGERPRINTS = ("perceptual_hash", "thumbnail")

LEAST_SIDE = 64  # of the original; a smaller picture shows too little to judge its polarity
SAMPLED = 256  # rows and columns on which clipping is counted
THUMBNAIL = 32  # rows and columns; the picture is stretched to a square
HASH_SIDE, LOW_SIDE = 16, 8  # of the block of frequencies that is hashed, and of the lowest, which come first
COARSE, FINE = 64, 256  # longest sides in pixels, to judge polarity
FLAT = 20  # grey levels between the 10th and 90th percentile of a line that shows nothing
MOST = 0.45  # of a side, at most, may be such lines
GUARD = 3  # lines beyond them, where a collimator's edge is blurred
FINE_WEIGHT = 2.0
BLACK, WHITE = 8, 247  # fine structure is not judged where grey values are cut off


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
    inner = field(coarse)
    small = cv2.resize(fine, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return {
        "polarity_score": round(polarity_of(fine, coarse[inner]), 4) if large_enough else None,
        "grey_levels": int(np.count_nonzero(counts)),
        "flat_share": round(int(counts.max()) / every_other.size, 4),
        **_clipping(_same_part(radiograph.pixels, inner, coarse.shape), radiograph.value_range),
        **_mask_measures(None if mask is None else mask[(slice(None), *geometry.inside)], inner, coarse.shape, classes),
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


def _same_part(picture: np.ndarray, part: tuple[slice, slice], shape: tuple[int, ...]) -> np.ndarray:
    """The part of ``picture`` that ``part`` is of the same picture in another size, ``shape``; at least one pixel."""
    slices = []
    for span, length, side in zip(part, shape, picture.shape, strict=True):
        first, last = round(span.start / length * side), round(span.stop / length * side)
        slices.append(slice(first, max(last, first + 1)))
    return picture[tuple(slices)]


def _clipping(pixels: np.ndarray, value_range: tuple[float, float]) -> dict[str, float]:
    """Shares of decoded values at the ends of their range, on every n-th pixel: at least 256 a side."""
    step = max(1, min(pixels.shape) // SAMPLED)
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    low, high = value_range
    return {
        "black_share": round(float(np.count_nonzero(pixels <= low)) / pixels.size, 4),
        "white_share": round(float(np.count_nonzero(pixels >= high)) / pixels.size, 4),
    }


def _mask_measures(
    mask: np.ndarray | None, part: tuple[slice, slice], shape: tuple[int, ...], classes: Sequence[str]
) -> Mapping[str, float | None]:
    if mask is None:
        return {"mask_outside_field": None} | dict.fromkeys(map(share_column, classes))
    areas = [cv2.countNonZero(channel) for channel in mask]
    inside = sum(cv2.countNonZero(_same_part(channel, part, shape)) for channel in mask)
    shares = {share_column(name): round(area / mask[0].size, 6) for name, area in zip(classes, areas, strict=True)}
    return {"mask_outside_field": round(1 - inside / sum(areas), 4) if sum(areas) else 0.0, **shares}


def polarity_score(picture: np.ndarray) -> float:
    """Positive where bone looks bright, negative where it looks dark, near 0 where that cannot be told.

    ``picture`` is uint8 (rows, columns) without padding. The score of ``255 - picture`` is about minus this.

    Two reasons from how radiographs come about, neither of them tied to an anatomy. The beam's field is centred on the
    part of interest, so the body is thicker there than at the field's corners and edges, which often see air. And small
    things (vessels, ribs, cortices, wires) add attenuation, so fine structure is brighter than what surrounds it.
    """
    fine = shrink(picture, FINE)
    coarse = shrink(fine, COARSE)
    return polarity_of(fine, coarse[field(coarse)])


def polarity_of(fine: np.ndarray, within_field: np.ndarray) -> float:
    """:func:`polarity_score` of a picture shrunk to :data:`FINE`, and of its field shrunk as to :data:`COARSE`."""
    return thickness_contrast(within_field) + FINE_WEIGHT * _fine_contrast(fine)


def field(picture: np.ndarray) -> tuple[slice, slice]:
    """The part of a uint8 picture within letterboxes and straight collimators, black or white: rows, columns.

    Lines from the edge inwards that show nothing along their length are left out, and the blur beside them.
    """
    rows, columns = slice(0, picture.shape[0]), slice(0, picture.shape[1])
    for _ in range(2):
        columns = _without_flat_ends(picture[rows, columns].T, columns)
        rows = _without_flat_ends(picture[rows, columns], rows)
    return rows, columns


def thickness_contrast(inner: np.ndarray) -> float:
    """How much brighter the middle is than the corners, and than both ends of either axis; in -3..3."""
    unit = inner.astype(np.float32) / 255
    rows, columns = unit.shape
    if min(rows, columns) < 8:
        return 0.0
    down, across = rows // 8, columns // 8
    ends = [(up, left) for up in (slice(down), slice(-down, None)) for left in (slice(across), slice(-across, None))]
    corners = [float(np.median(unit[end])) for end in ends]
    centre = float(unit[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4].mean())
    return centre - float(np.mean(corners)) + _axis_contrast(unit.mean(0)) + _axis_contrast(unit.mean(1))


def shrink(picture: np.ndarray, longest: int) -> np.ndarray:
    """The picture with its longer side ``longest`` pixels, or as it is where that is larger."""
    rows, columns = picture.shape
    scale = longest / max(rows, columns)
    if scale >= 1:
        return picture
    return cv2.resize(
        picture, (max(1, round(columns * scale)), max(1, round(rows * scale))), interpolation=cv2.INTER_AREA
    )


def _without_flat_ends(lines: np.ndarray, span: slice) -> slice:
    ordered = cv2.sort(np.ascontiguousarray(lines), cv2.SORT_EVERY_ROW | cv2.SORT_ASCENDING)
    length = ordered.shape[1]
    flat = ordered[:, int(0.9 * length)].astype(int) - ordered[:, int(0.1 * length)] < FLAT
    before, after = _run(flat), _run(flat[::-1])
    if len(flat) - before - after < 2 * GUARD:  # nothing would be left: the picture is flat all over
        return span
    return slice(span.start + before, span.stop - after)


def _run(flat: np.ndarray) -> int:
    """How many lines go, from the first one on."""
    most = int(MOST * len(flat))
    count = most if flat[:most].all() else int(np.argmin(flat[:most]))
    return min(count + GUARD, most) if count else 0


def _axis_contrast(profile: np.ndarray) -> float:
    """How far the middle lies above both ends, or (negative) below both; 0 between them, as on a lateral film."""
    count, end = len(profile), max(1, len(profile) // 10)
    middle = float(profile[count // 2 - end : count // 2 + end].mean())
    low, high = sorted((float(profile[:end].mean()), float(profile[-end:].mean())))
    return middle - high if middle > high else middle - low if middle < low else 0.0


def _fine_contrast(picture: np.ndarray) -> float:
    """Bright against dark small structures, -1..1: white and black top-hat (Serra 1982) within the grey range."""
    width = max(3, 2 * round(max(picture.shape) / 128) + 1)  # the same part of the body at any size
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    judged = cv2.inRange(picture, BLACK + 1, WHITE - 1)
    hats = (cv2.morphologyEx(picture, kind, kernel) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    bright, dark = (cv2.mean(hat, judged)[0] for hat in hats)
    return (bright - dark) / (bright + dark) if bright + dark else 0.0
