"""Outlines to pixels, by the rule of the COCO tools (pycocotools) for every format.

Coordinates are (x, y) in pixels, x to the right, y down; 0 is the left or upper edge of the first pixel, so that its
centre is at 0.5. The square from (1, 1) to (4, 3) covers columns 1 to 3 and rows 1 to 2. Where an outline crosses
itself, pixels that it surrounds twice are outside (even-odd rule); several outlines unite.
"""

import math
from collections.abc import Sequence

import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import quiet

LARGEST_COORDINATE = 1e6  # pixels; no image is so wide
LONGEST_OUTLINES = 2_000_000  # pixels of all outlines of a file; drawing takes some 100 bytes for each
CIRCLE_CORNERS = 720  # within 1/50 pixel of a circle of 2,000 pixels radius


def polygon(points: object) -> np.ndarray:
    """Points of a file, [[x, y], ...], as (points, 2) float64; ImageError if they are not one."""
    try:
        outline = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ImageError("has an outline with points that are not pairs of numbers; draw it again") from None
    if outline.ndim != 2 or outline.shape[1] != 2:
        raise ImageError("has an outline with points that are not pairs of numbers; draw it again")
    if not (np.abs(outline) <= LARGEST_COORDINATE).all():  # false for NaN, too
        raise ImageError(
            f"has an outline with a coordinate that is no number up to {LARGEST_COORDINATE:.0f} pixels; draw it again"
        )
    return outline


def rectangle(corners: object) -> np.ndarray:
    """The outline of a rectangle given by two opposite corners, or by four."""
    points = polygon(corners)
    if len(points) == 4:
        return points
    if len(points) != 2:
        raise ImageError(f"has a rectangle with {len(points)} corners instead of 2 or 4; draw it again")
    (left, top), (right, bottom) = points
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def circle(points: object) -> np.ndarray:
    """The outline of a circle given by its centre and a point on it."""
    pair = polygon(points)
    if len(pair) != 2:
        raise ImageError(f"has a circle with {len(pair)} points instead of centre and edge; draw it again")
    angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
    outline: np.ndarray = pair[0] + math.dist(*pair) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return outline


def fill(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels that outlines enclose, cut off at the image's edges: ``shape`` uint8 of 0 and 1."""
    from pycocotools import mask as coco

    rows, columns = shape
    # the time that drawing takes grows with what lies outside; what is near is left to the COCO tools as it is
    near = [cut(outline, (-float(columns), -float(rows)), (2.0 * columns, 2.0 * rows)) for outline in outlines]
    near = [outline for outline in near if len(outline) > 2]
    if not near:
        return np.zeros(shape, np.uint8)
    length = sum(float(np.abs(np.diff(outline, axis=0)).max(axis=1).sum()) for outline in near)
    if length > LONGEST_OUTLINES:
        raise ImageError(
            f"has outlines of {length:.0f} pixels length, more than the {LONGEST_OUTLINES} that are drawn; "
            "they were not drawn by hand"
        )
    with quiet():  # pycocotools warns of what it does itself
        drawn = coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in near], rows, columns))
        plane: np.ndarray = np.ascontiguousarray(coco.decode(drawn))
    return plane


def cut(outline: np.ndarray, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
    """The part of an outline within a box, closed along the box's edges (Sutherland and Hodgman 1974)."""
    for axis in (0, 1):
        for sign, limit in ((1.0, low[axis]), (-1.0, high[axis])):
            inside = sign * (outline[:, axis] - limit)
            if len(outline) == 0 or (inside >= 0).all():
                continue
            before, start = np.roll(inside, 1), np.roll(outline, 1, axis=0)
            crosses = (inside >= 0) != (before >= 0)
            share = np.divide(before, before - inside, out=np.zeros_like(inside), where=crosses)
            crossing = start + share[:, None] * (outline - start)
            crossing[:, axis] = limit
            both = np.stack([crossing, outline], axis=1).reshape(-1, 2)
            outline = both[np.stack([crosses, inside >= 0], axis=1).ravel()]
    return outline


def area(outline: np.ndarray) -> float:
    """Area in square pixels; of an outline that crosses itself, the difference of its parts."""
    if len(outline) == 0:
        return 0.0
    (x, y), (next_x, next_y) = outline.T, np.roll(outline, -1, axis=0).T
    return abs(float((x * next_y - next_x * y).sum())) / 2


def area_inside(outline: np.ndarray, shape: tuple[int, int]) -> float:
    """The area of the part within an image of (rows, columns)."""
    return area(cut(outline, (0.0, 0.0), (float(shape[1]), float(shape[0]))))
