"""Kept probabilities at the size of the original picture."""

import numpy as np

from segpipe.preprocess.geometry import Geometry, restore


def at_original_size(square: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Probabilities (classes, size, size) of the network's square as float32 (classes, rows, columns).

    The same interpolation as prediction's: the threshold on it gives the mask again, but for the rounding of what was
    kept, and before small pieces are removed and holes filled.
    """
    return np.stack([restore(channel, geometry) for channel in np.asarray(square, np.float32)])
