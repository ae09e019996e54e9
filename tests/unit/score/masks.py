"""Tiny masks as texts, and bits of one class."""

import numpy as np


def mask(text: str) -> np.ndarray:
    """``"11.. .1.."`` is a mask of two rows and four columns, uint8 0 and 1."""
    return np.array([[cell == "1" for cell in row] for row in text.split()], np.uint8)


def blobs(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """One to three ellipses anywhere, uint8 0 and 1 (rows, columns); they may be cut off by the picture's edge."""
    down, right = np.mgrid[:rows, :columns]
    found = np.zeros((rows, columns), bool)
    for _ in range(rng.integers(1, 4)):
        middle, radii = rng.random(2) * (rows, columns), 1 + rng.random(2) * (rows / 2, columns / 2)
        found |= ((down - middle[0]) / radii[0]) ** 2 + ((right - middle[1]) / radii[1]) ** 2 < 1
    return found.astype(np.uint8)
