"""Masks to closed outlines that give back the same pixels, by the rule of :mod:`segpipe.io.masks.polygons`.

Outlines run halfway between the centres of pixels, so that they follow oblique edges without steps. A hole is joined to
the outline around it by a line there and back: what an outline surrounds twice is outside (even-odd rule), and a line
that is drawn twice covers no pixel.
"""

from itertools import pairwise

import cv2
import numpy as np

LEAST = 3  # corners of an outline


def outlines(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """Outlines of ``mask`` (rows, columns) bool: float64 (points, 2) of x and y, one for each piece.

    Points closer than ``tolerance`` pixels to the line of their neighbours are left out; with 0 only those on it
    are, and no pixel changes.
    """
    if not mask.any():
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    corner = np.array([left - 0.5, top - 0.5])  # where the centre of the padding's first pixel lies
    return [_joined([_thinned(ring, tolerance) for ring in piece]) + corner for piece in _pieces(part)]


def _pieces(part: np.ndarray) -> list[list[np.ndarray]]:
    """For each piece its outline and then those of its holes, through the middle between unlike pixels."""
    from contourpy import FillType, contour_generator

    lines = contour_generator(z=part.astype(np.float64), fill_type=FillType.OuterOffset)
    points, offsets = lines.filled(0.5, 2.0)
    return [
        [each[start : end - 1] for start, end in pairwise(ends)]  # the last point is the first
        for each, ends in zip(points, offsets, strict=True)
    ]


def _thinned(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Without points on a straight line, and with ``tolerance`` without those near one (Douglas and Peucker 1973)."""
    ahead, behind = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
    ring = ring[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]
    if tolerance > 0:
        near = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True)[:, 0]
        ring = near.astype(np.float64) if len(near) >= LEAST else ring
    return ring


def _joined(rings: list[np.ndarray]) -> np.ndarray:
    """One closed line of an outline and its holes."""
    whole = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: (ring[:, 0].min(), ring[:, 1].min())):
        start = int(hole[:, 0].argmin())
        at = int(((whole - hole[start]) ** 2).sum(axis=1).argmin())
        around = np.concatenate([hole[start:], hole[: start + 1]])
        whole = np.concatenate([whole[: at + 1], around, whole[at:]])
    return whole
