"""Masks as outlines: the paths of SVG, which stay sharp at any zoom."""

import cv2
import numpy as np

_FINER = 2  # outlines run through the middles of pixels of this many times the resolution
_TOLERANCE = 0.5  # pixels that the simplified outline may be off: stairs of a slanted edge become a line


def outline(mask: np.ndarray) -> str:
    """A 0/1 mask (rows, columns) as the ``d`` of an SVG path; filled by the even-odd rule it is the mask.

    Units are pixels, (0, 0) is the upper left corner. Blank for an empty mask.
    """
    fine = cv2.resize(mask.astype(np.uint8), None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return "".join(_path(contour) for contour in contours)


def _path(contour: np.ndarray) -> str:
    """A closed path from a contour of the finer grid, int (n, 1, 2) of columns and rows."""
    points = cv2.approxPolyDP(contour, _TOLERANCE * _FINER, True)
    points = (points if len(points) > 2 else contour)[:, 0]
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in ((points + 0.5) / _FINER).tolist()) + "Z"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
