"""Tidying a mask at the original resolution: small pieces away, holes filled."""

import cv2
import numpy as np


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
