"""Tiny masks as texts, bits of one class, and their counts."""

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


def confusion_counts(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """What ``counts_from_bits`` gives, counted in the plainest way.

    ``prediction`` and ``reference`` are bool (classes, rows, columns); classes may overlap. Returns
    int64 (classes + 1, 4).
    """
    predicted = np.concatenate([prediction, ~prediction.any(axis=0, keepdims=True)])
    expected = np.concatenate([reference, ~reference.any(axis=0, keepdims=True)])
    pairs = (predicted & expected, predicted & ~expected, ~predicted & expected, ~predicted & ~expected)
    return np.stack([pair.sum(axis=(1, 2), dtype=np.int64) for pair in pairs], axis=1)
