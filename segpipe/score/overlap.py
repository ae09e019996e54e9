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


def precision(counts: np.ndarray) -> np.ndarray:
    """Positive predictive value, tp / (tp + fp); shapes as for :func:`iou`.

    Where the prediction is empty: 1 with an empty reference, else 0.
    """
    tp, fp, fn = (counts[..., index] for index in range(3))
    return np.where(tp + fp > 0, _ratio(tp, tp + fp), fn == 0)


def recall(counts: np.ndarray) -> np.ndarray:
    """Sensitivity, tp / (tp + fn); shapes as for :func:`iou`.

    Where the reference is empty: 1 with an empty prediction, else 0.
    """
    tp, fp, fn = (counts[..., index] for index in range(3))
    return np.where(tp + fn > 0, _ratio(tp, tp + fn), fp == 0)


def relative_area_difference(counts: np.ndarray) -> np.ndarray:
    """Area of the prediction over that of the reference, less 1: (fp - fn) / (tp + fn); shapes as for :func:`iou`.

    -1 where the prediction is empty; where the reference is, 0 with an empty prediction, else NaN: no number says
    how many times larger than nothing something is.
    """
    tp, fp, fn = (counts[..., index] for index in range(3))
    reference = tp + fn
    return np.where(reference > 0, (fp - fn) / np.maximum(reference, 1), np.where(fp == 0, 0.0, np.nan))


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
