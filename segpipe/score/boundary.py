"""Boundary IoU: the overlap of the rims of two masks.

Cheng, Girshick, Dollár, Berg and Kirillov, Boundary IoU, CVPR 2021, arXiv:2103.16562. Plain IoU hardly notices how
well a large structure is outlined; this does at every size.
"""

import cv2
import numpy as np


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
    """IoU of the two rims; 1 where both masks are empty, 0 where one is. Masks are uint8 0 and 1 (rows, columns)."""
    if not prediction.any() or not reference.any():
        return float(prediction.any() == reference.any())
    ours, theirs = rim(prediction, width), rim(reference, width)
    return float(np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs))
