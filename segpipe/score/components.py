"""How many pieces a mask has."""

import cv2
import numpy as np


def count_components(mask: np.ndarray) -> int:
    """The pieces of ``mask``, uint8 0 and 1 (rows, columns); pixels that touch at a corner belong together."""
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1 if mask.any() else 0
