"""Overlap scores as functions of counts, for one image or many at once.

Names and formulas follow Metrics Reloaded (Maier-Hein, Reinke et al., Nature Methods 21, 195-212,
2024); see docs/metrics.md, also for the convention where a class is empty.
"""

import numpy as np


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union, tp / (tp + fp + fn).

    ``counts`` is int (..., 4): tp, fp, fn, tn. Returns float64 (...) in [0, 1]: 1 where the class is in
    neither prediction nor reference, 0 where it is in one of them only.
    """
    tp, fp, fn = (counts[..., index] for index in range(3))
    return _ratio(tp, tp + fp + fn)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice similarity coefficient, 2 tp / (2 tp + fp + fn); shapes and empties as for :func:`iou`."""
    tp, fp, fn = (counts[..., index] for index in range(3))
    return _ratio(2 * tp, 2 * tp + fp + fn)


def miou(counts: np.ndarray) -> np.ndarray:
    """Mean IoU over the classes and the background of each image.

    ``counts`` is int (..., classes + 1, 4) with the background last. Returns float64 (...).
    """
    return np.asarray(iou(counts).mean(axis=-1))


def miou_foreground(counts: np.ndarray) -> np.ndarray:
    """Mean IoU over the classes without the background; shapes as for :func:`miou`."""
    return np.asarray(iou(counts[..., :-1, :]).mean(axis=-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
