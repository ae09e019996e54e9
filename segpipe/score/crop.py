"""Pairs of masks, class by class, cut to what they hold: nothing beyond changes a distance or a piece."""

import cv2
import numpy as np


def class_pair(prediction_bits: np.ndarray, reference_bits: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference of class ``index``, uint8 0 and 1, cut to the smallest box that holds both.

    ``prediction_bits`` and ``reference_bits`` are unsigned (rows, columns) with class ``i`` in bit ``i``. Where both
    are empty the box is, too.
    """
    bit = prediction_bits.dtype.type(1 << index)
    left, top, width, height = cv2.boundingRect((((prediction_bits | reference_bits) & bit) != 0).view(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    prediction, reference = (((bits[box] & bit) != 0).view(np.uint8) for bits in (prediction_bits, reference_bits))
    return prediction, reference
