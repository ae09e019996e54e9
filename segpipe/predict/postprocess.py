"""From a network's probabilities to masks at the original size.

Plain functions, which need no MONAI; :func:`postprocessing` is the same as a MONAI pipeline. Probabilities, not labels,
go back to the original geometry; there they are thresholded and tidied.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segpipe.config import Predict
from segpipe.preprocess.geometry import Geometry, at_original_size

if TYPE_CHECKING:
    from monai.inferers import Inferer
    from monai.transforms import Compose

WINDOW = 512


@dataclass(frozen=True)
class Masks:
    """Bool (classes, rows, columns), and how many pixels tidying changed, over all classes."""

    mask: np.ndarray
    removed_pixels: int
    filled_pixels: int


def masks_of(probability: np.ndarray, geometry: Geometry, predict: Predict, exclusive: bool) -> Masks:
    """The masks of one picture, whose ``probability`` is float32 (classes, size, size) in the network's square.

    ``exclusive`` leaves each pixel only its likeliest class, as a label image can hold no more.
    """
    mask = above_threshold(at_original_size(probability, geometry), predict.threshold, exclusive)
    return tidied(mask, predict.smallest_island, predict.fill_holes, exclusive)


def above_threshold(probability: np.ndarray, threshold: float, exclusive: bool) -> np.ndarray:
    """The pixels of each class, bool of the same shape (classes, rows, columns)."""
    mask: np.ndarray = probability >= threshold
    if exclusive:
        mask &= np.arange(len(probability))[:, np.newaxis, np.newaxis] == probability.argmax(axis=0)
    return mask


def tidied(mask: np.ndarray, smallest_island: float, fill: bool, exclusive: bool) -> Masks:
    """Remove small pieces of each class of ``mask`` (classes, rows, columns), then fill its holes.

    With ``exclusive`` a hole is filled only where no other class is.
    """
    kept = filled = mask
    if smallest_island > 0:
        kept = filled = np.stack([keep_large_pieces(channel, smallest_island) for channel in mask])
    if fill:
        free = np.logical_not(kept.any(axis=0)) if exclusive else None
        filled = np.stack([fill_holes(channel, free) for channel in kept])
    removed, added = np.count_nonzero(mask) - np.count_nonzero(kept), np.count_nonzero(filled & ~kept)
    return Masks(filled, int(removed), int(added))


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


def postprocessing(predict: Predict, exclusive: bool) -> "Compose":
    """:func:`masks_of` as a MONAI pipeline, which a bundle names and other transforms can join.

    From ``probability`` and ``geometry`` to ``mask``, ``removed_pixels`` and ``filled_pixels``.
    """
    from monai.transforms import Compose

    def mask(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        made = masks_of(data["probability"], data["geometry"], predict, exclusive)
        numbers = {"removed_pixels": made.removed_pixels, "filled_pixels": made.filled_pixels}
        return dict(data) | {"mask": made.mask} | numbers

    return Compose([mask])


def build_inferer(predict: Predict, size: int) -> "Inferer":
    """MONAI's inferer: the whole picture at once, or a window that slides over it."""
    from monai.inferers import SimpleInferer, SlidingWindowInferer

    if predict.inferer == "whole":
        return SimpleInferer()
    return SlidingWindowInferer(roi_size=(min(WINDOW, size),) * 2, sw_batch_size=1, overlap=0.25, mode="gaussian")
