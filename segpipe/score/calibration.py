"""Whether probabilities are what they say, and how good a mask may be, told without its reference.

Calibration: of the pixels with 0.8, eight in ten should be of the class. Both measures are over all pixels of an image,
most of which are easy, so compare them between models on the same images and not between images.

Without a reference, the entropy of the network and the disagreement between networks are no scores. How far each goes
along with IoU is measured on the images that have references, and stands beside it in summary.json.
"""

from itertools import combinations

import numpy as np
import pandas as pd

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


FACTS = ("components", "predicted_share", "entropy", "disagreement")  # of each class, from prediction


def mean_entropy(probability: np.ndarray) -> float:
    """Mean entropy of a class's probability over the pixels, in bits: 0 where all is sure, 1 where nothing is.

    ``probability`` is float (rows, columns) from 0 to 1, without padding.
    """
    sure = np.clip(np.asarray(probability, np.float64), 1e-12, 1 - 1e-12)
    return float(-np.mean(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure)))


def disagreement(masks: np.ndarray) -> float:
    """1 less the mean Dice of each two models' masks, bool (models, rows, columns); NaN for a single one.

    Two empty masks agree, an empty and another one do not.
    """
    areas = masks.sum(axis=(1, 2))
    dices = []
    for one, other in combinations(range(len(masks)), 2):
        whole = int(areas[one]) + int(areas[other])
        dices.append(2 * np.count_nonzero(masks[one] & masks[other]) / whole if whole else 1.0)
    return 1 - float(np.mean(dices)) if dices else float("nan")


def rank_correlation(values: pd.Series, scores: pd.Series) -> tuple[float, int]:
    """Spearman's rank correlation over the images that have both, ties sharing their mean rank, and their number.

    NaN where there are fewer than three, or one of the two is the same everywhere.
    """
    both = pd.DataFrame({"value": values, "score": scores}).astype("float64").dropna()
    ranks = both.rank().to_numpy()
    if len(both) < 3 or (np.ptp(ranks, axis=0) == 0).any():
        return float("nan"), len(both)
    return float(np.corrcoef(ranks.T)[0, 1]), len(both)
