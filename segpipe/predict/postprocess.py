"""From a network's probabilities to masks at the original size, as MONAI transforms."""

from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.transforms import Compose, Transform

from segpipe.config import Predict
from segpipe.preprocess.monai_transforms import RestoreGeometryd

# Tidying a mask at the original resolution: small pieces away, holes filled.


def keep_large_pieces(mask: np.ndarray, smallest: float) -> np.ndarray:
    """``mask`` (rows, columns) bool without the pieces that are smaller than ``smallest`` times its largest one.

    Pixels that touch at a corner belong together. 0 keeps all, 1 only the largest (and any of the same size).
    """
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = facts[:, cv2.CC_STAT_AREA]
    if count <= 2:  # what is not the mask, and at most one piece
        return mask
    kept = areas >= smallest * areas[1:].max()
    kept[0] = False
    result: np.ndarray = kept[pieces]
    return result


def fill_holes(mask: np.ndarray, free: np.ndarray | None = None) -> np.ndarray:
    """``mask`` (rows, columns) bool with its holes: areas outside it that reach no edge of the picture.

    Two areas that touch at a corner only are two. With ``free`` (rows, columns) bool, only pixels that are set there
    are filled.
    """
    count, areas = cv2.connectedComponents(1 - mask.astype(np.uint8), connectivity=4)
    enclosed = np.ones(count, bool)
    enclosed[0] = False  # the mask itself
    for edge in (areas[0], areas[-1], areas[:, 0], areas[:, -1]):
        enclosed[edge] = False
    holes = enclosed[areas]
    filled: np.ndarray = mask | (holes if free is None else holes & free)
    return filled


# From a network's probabilities to masks at the original size, as MONAI transforms.

WINDOW = 512


class ProbabilityToMaskd(Transform):
    """Threshold ``probability`` (classes, rows, columns) into ``mask``, bool of the same shape.

    ``exclusive`` leaves each pixel only its likeliest class, as a label image can hold no more.
    """

    def __init__(self, threshold: float, exclusive: bool) -> None:
        self.threshold, self.exclusive = threshold, exclusive

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        probability = np.asarray(data["probability"])
        mask = probability >= self.threshold
        if self.exclusive:
            likeliest = np.arange(len(probability))[:, np.newaxis, np.newaxis] == probability.argmax(axis=0)
            mask &= likeliest
        return {**data, "mask": mask}


class CleanMaskd(Transform):
    """Remove small pieces of each class of ``mask`` (classes, rows, columns), then fill its holes.

    Leaves the numbers of pixels that changed, over all classes, as ``removed_pixels`` and ``filled_pixels``. With
    ``exclusive`` a hole is filled only where no other class is.
    """

    def __init__(self, smallest_island: float, fill: bool, exclusive: bool) -> None:
        self.smallest_island, self.fill, self.exclusive = smallest_island, fill, exclusive

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        before: np.ndarray = data["mask"]
        kept, filled = before, before
        if self.smallest_island > 0:
            kept = filled = np.stack([keep_large_pieces(channel, self.smallest_island) for channel in before])
        if self.fill:
            free = np.logical_not(kept.any(axis=0)) if self.exclusive else None
            filled = np.stack([fill_holes(channel, free) for channel in kept])
        removed, added = np.count_nonzero(before) - np.count_nonzero(kept), np.count_nonzero(filled & ~kept)
        return {**data, "mask": filled, "removed_pixels": int(removed), "filled_pixels": int(added)}


def postprocessing(predict: Predict, exclusive: bool) -> Compose:
    """Probabilities, not labels, go back to the original geometry; there they are thresholded and tidied."""
    return Compose(
        [
            RestoreGeometryd(keys="probability"),
            ProbabilityToMaskd(predict.threshold, exclusive),
            CleanMaskd(predict.smallest_island, predict.fill_holes, exclusive),
        ]
    )


def build_inferer(predict: Predict, size: int) -> Inferer:
    """MONAI's inferer: the whole picture at once, or a window that slides over it."""
    if predict.inferer == "whole":
        return SimpleInferer()
    return SlidingWindowInferer(roi_size=(min(WINDOW, size),) * 2, sw_batch_size=1, overlap=0.25, mode="gaussian")
