"""Counts of agreeing and differing pixels, and the overlap scores as functions of them.

Order of the counts everywhere: tp, fp, fn, tn along the last axis; along the axis before it the classes in the order of
the config and, last, the background (pixels of no class). The scores are of one image or of many at once. Their names
and formulas follow Metrics Reloaded (Maier-Hein, Reinke et al., Nature Methods 21, 195-212, 2024); docs/metrics.md has
the convention where a class is empty.
"""

import cv2
import numpy as np

COUNTS = ("tp", "fp", "fn", "tn")
_BLOCK = 1 << 18  # pixels at a time, so that the temporaries of one block stay in the cache


def counts_from_bits(prediction_bits: np.ndarray, reference_bits: np.ndarray, classes: int) -> np.ndarray:
    """Counts per class and of the background, int64 (classes + 1, 4).

    ``prediction_bits`` and ``reference_bits`` are unsigned (rows, columns) with class ``i`` in bit ``i``; classes may
    overlap, and bits from ``classes`` on must be 0. Raises ValueError for other shapes, types or bits.
    """
    predicted, expected = _flat(prediction_bits, classes), _flat(reference_bits, classes)
    if prediction_bits.shape != reference_bits.shape:
        raise ValueError(f"prediction is {prediction_bits.shape}, reference {reference_bits.shape}")
    in_prediction, in_reference, in_both = (np.zeros(classes + 1, np.int64) for _ in range(3))
    for start in range(0, predicted.size, _BLOCK):
        ours, theirs = predicted[start : start + _BLOCK], expected[start : start + _BLOCK]
        in_prediction += _areas(ours, ours, classes)
        in_reference += _areas(theirs, theirs, classes)
        in_both += _areas(ours & theirs, ours | theirs, classes)
    false_positive, false_negative = in_prediction - in_both, in_reference - in_both
    neither = predicted.size - in_both - false_positive - false_negative
    return np.stack([in_both, false_positive, false_negative, neither], axis=1)


def _flat(bits: np.ndarray, classes: int) -> np.ndarray:
    if bits.ndim != 2 or bits.dtype.kind != "u":
        raise ValueError(f"bits must be unsigned (rows, columns), not {bits.dtype} {bits.shape}")
    if classes < 8 * bits.dtype.itemsize and int(bits.max(initial=0)) >> classes:
        raise ValueError(f"bits above those of the {classes} classes are set")
    return bits.ravel()


def _areas(bits: np.ndarray, occupied: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class in ``bits``, then those of no class in ``occupied``; (classes + 1,) int64."""
    per_class = [np.count_nonzero(bits & bits.dtype.type(1 << index)) for index in range(classes)]
    return np.array([*per_class, occupied.size - np.count_nonzero(occupied)], np.int64)


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


def count_components(mask: np.ndarray) -> int:
    """The pieces of ``mask``, uint8 0 and 1 (rows, columns); pixels that touch at a corner belong together."""
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1 if mask.any() else 0
