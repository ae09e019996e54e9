"""Distances between contours, what Metrics Reloaded makes of them, and Boundary IoU, the overlap of rims.

A contour is the pixels of a mask that have one beyond it among their four neighbours; beyond the image there is no
mask. Distances are between centres of pixels, each contour's pixels to the nearest of the other. They are exact: found
by a tree over the contours, which is quicker than a distance transform of the picture and knows any spacing.
docs/metrics.md has the formulas, and where other libraries differ.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_ROUNDING = 1e-9  # a distance that is the tolerance but for rounding is within it


def contour(mask: np.ndarray) -> np.ndarray:
    """Row and column of each contour pixel of ``mask``, uint8 0 and 1 (rows, columns); int64 (n, 2)."""
    if not mask.size:
        return np.zeros((0, 2), np.int64)
    inside = cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows, columns = np.nonzero(mask != inside)
    return np.stack([rows, columns], axis=1)


@dataclass(frozen=True)
class SurfaceDistances:
    """How far each contour pixel is from the other contour, float64 (n,) and (m,), in pixels or mm."""

    of_prediction: np.ndarray
    of_reference: np.ndarray

    def hd95(self) -> float:
        """The larger of the two 95th percentiles (linear interpolation)."""
        return max(float(np.quantile(each, 0.95)) for each in (self.of_prediction, self.of_reference))

    def assd(self) -> float:
        """The mean over the pixels of both contours."""
        both = (self.of_prediction, self.of_reference)
        return float(sum(each.sum() for each in both) / sum(each.size for each in both))

    def nsd(self, tolerance: float) -> float:
        """The share of the pixels of both contours that are at most ``tolerance`` from the other contour."""
        near = tolerance * (1 + _ROUNDING)
        both = (self.of_prediction, self.of_reference)
        return float(sum(np.count_nonzero(each <= near) for each in both) / sum(each.size for each in both))


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)
) -> SurfaceDistances:
    """Distances between two contours (:func:`contour`), neither of them empty.

    ``spacing`` is the distance between rows and between columns: in mm, or 1 and 1 for pixels.
    """
    return SurfaceDistances(
        _to_nearest(prediction, reference, spacing),
        _to_nearest(reference, prediction, spacing),
    )


def largest_distance(shape: tuple[int, int], spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """The distance between opposite corners of an image of ``shape`` (rows, columns): none in it can be larger."""
    return float(np.hypot((shape[0] - 1) * spacing[0], (shape[1] - 1) * spacing[1]))


def _to_nearest(points: np.ndarray, others: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """From steps in whole pixels, so that it does not depend on where in the image two points lie."""
    tree = cKDTree(others * spacing, balanced_tree=False, compact_nodes=False)  # quicker to build, and built once
    _, nearest = tree.query(points * spacing)
    return np.asarray(np.hypot(*((points - others[nearest]) * spacing).T))


def rim_width(shape: tuple[int, int], share: float) -> int:
    """The width in pixels for an image of ``shape`` (rows, columns): ``share`` of its diagonal, at least 1."""
    return max(1, round(share * float(np.hypot(*shape))))


def rim(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of ``mask``, uint8 0 and 1, at most ``width`` steps from its outside; a step may be diagonal.

    What is beyond the picture is outside. Erosion as in the authors' code, where the paper has Euclidean distances.
    """
    square = np.ones((2 * width + 1, 1), np.uint8)
    inside = mask
    for side in (square, square.T):
        inside = cv2.erode(inside, side, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask - inside)


def boundary_iou(prediction: np.ndarray, reference: np.ndarray, width: int) -> float:
    """IoU of the two rims; 1 where both masks are empty, 0 where one is. Masks are uint8 0 and 1 (rows, columns).

    Cheng, Girshick, Dollár, Berg and Kirillov, Boundary IoU, CVPR 2021, arXiv:2103.16562. Plain IoU hardly notices how
    well a large structure is outlined; this does at every size.
    """
    if not prediction.any() or not reference.any():
        return float(prediction.any() == reference.any())
    ours, theirs = rim(prediction, width), rim(reference, width)
    return float(np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs))
