"""Whether probabilities are what they say: of the pixels with 0.8, eight in ten should be of the class.

Both measures are over all pixels of the image, most of which are easy, so compare them between models on the same
images and not between images.
"""

import numpy as np

BINS = 15


def brier_score(probability: np.ndarray, reference: np.ndarray) -> float:
    """The mean squared difference of probability and truth (Brier, Monthly Weather Review 78, 1-3, 1950).

    ``probability`` is float (rows, columns) of one class, ``reference`` bool or 0 and 1 of the same shape.
    """
    difference = probability.astype(np.float64) - reference
    return float(np.mean(difference * difference))


def expected_calibration_error(probability: np.ndarray, reference: np.ndarray) -> float:
    """The mean difference of probability and frequency over 15 bins of equal width, weighted by their pixels.

    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017; here for the probability of
    the class, not of the likelier of class and no class. Arguments as for :func:`brier_score`. A bin holds its lower
    edge; the last one 1, too.
    """
    values = probability.ravel().astype(np.float64)
    place = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    expected = np.bincount(place, values, BINS)
    found = np.bincount(place, np.asarray(reference, np.float64).ravel(), BINS)
    return float(np.abs(expected - found).sum() / values.size)
