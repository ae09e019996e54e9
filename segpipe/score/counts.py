"""Counts of agreeing and differing pixels, the only thing that is ever measured on masks.

Order of the counts everywhere: tp, fp, fn, tn along the last axis; along the axis before it the
classes in the order of the config and, last, the background (pixels of no class).
"""

import numpy as np

COUNTS = ("tp", "fp", "fn", "tn")
_BLOCK = 1 << 18  # pixels at a time, so that the temporaries of one block stay in the cache


def confusion_counts(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Counts per class and of the background.

    ``prediction`` and ``reference`` are bool (classes, rows, columns); classes may overlap. Returns
    int64 (classes + 1, 4). Raises ValueError where the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction is {prediction.shape}, reference {reference.shape}; they must be alike")
    predicted = np.concatenate([prediction, ~prediction.any(axis=0, keepdims=True)])
    expected = np.concatenate([reference, ~reference.any(axis=0, keepdims=True)])
    pairs = (predicted & expected, predicted & ~expected, ~predicted & expected, ~predicted & ~expected)
    return np.stack([pair.sum(axis=(1, 2), dtype=np.int64) for pair in pairs], axis=1)


def counts_from_bits(prediction_bits: np.ndarray, reference_bits: np.ndarray, classes: int) -> np.ndarray:
    """As :func:`confusion_counts` for masks that hold class ``i`` in bit ``i`` of one unsigned integer.

    ``prediction_bits`` and ``reference_bits`` are unsigned (rows, columns); bits from ``classes`` on
    must be 0. Returns int64 (classes + 1, 4). Raises ValueError for other shapes, types or bits.
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
