"""Wilcoxon's signed-rank test over patients, one number for each, and Holm's correction for several tests.

Means and their intervals are those of :mod:`segpipe.score.intervals`.
"""

import numpy as np
from scipy import stats

_DECIMALS = 9  # differences that agree to here are ties; beyond it sums leave noise


def signed_rank_p(differences: np.ndarray) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; differences of 0 are left out, as Wilcoxon did.

    It is 1 where nothing is left. Up to 50 differences without ties it is exact.
    """
    rounded = np.round(differences, _DECIMALS)
    left = rounded[rounded != 0]
    return float(stats.wilcoxon(left).pvalue) if left.size else 1.0


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method (1979), in the order given.

    >>> holm(np.array([0.04, 0.01, 0.03])).round(2).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return corrected
