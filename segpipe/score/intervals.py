"""How far a score may be from the truth, had other patients come: 95 % bootstrap intervals over patients.

They are of anything that is one sum over images divided by another. A mean over images is the sum of their scores
over their number; a pooled IoU is the sum of tp over that of tp, fp and fn. Patients are drawn with all their images,
because images of a patient resemble each other. The ends are corrected for bias and skewness (BCa; Efron, Better
bootstrap confidence intervals, JASA 82, 171-185, 1987), for a plain percentile interval of scores near 1 is shifted
towards what it should not reach; and for few patients they lie further out, as Student's t does (the expanded
interval of Hesterberg, The American Statistician 69, 371-386, 2015).
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

LEVEL = 0.95
MOST_DRAWS, FEWEST_DRAWS = 10_000, 2_000
MOST_UNITS = 5_000
_UNITS_DRAWN = 20_000_000  # beyond that, fewer draws: with many patients the interval hardly depends on them
_CELLS = 1 << 22  # numbers in memory at a time, however many patients there are
_DIGITS = 5  # more would be noise of the draws, and of the order in which a machine sums


def draws_for(patients: int, most: int = MOST_DRAWS) -> int:
    """How many draws are made for that many patients."""
    return max(FEWEST_DRAWS, min(most, _UNITS_DRAWN // max(min(patients, MOST_UNITS), 1)))


def sums_by_patient(values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Sums over the images of each patient, float (rows, images) to float64 (rows, patients).

    ``patients`` is int (images,): 0 to n - 1, each at least once.
    """
    count = int(patients.max(initial=-1)) + 1
    return np.stack([np.bincount(patients, row, count) for row in values])


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part`` over ``whole``, NaN where that is 0."""
    # What is left of a sum after its only summand is gone may be a rounding error instead of 0.
    there = whole > 1e-9
    return np.where(there, part / np.where(there, whole, 1), np.nan)


def bca_intervals(
    parts: np.ndarray,
    wholes: np.ndarray,
    seed: int,
    draws: int,
    statistic: Callable[[np.ndarray], np.ndarray] = lambda ratios: ratios,
) -> np.ndarray:
    """The 95 % intervals of ``parts`` over ``wholes``, float64 (2, rows): low and high.

    Both are float64 (rows, patients): what each patient adds to the two sums of each row
    (:func:`sums_by_patient`). ``statistic`` turns ratios (..., rows) into what is asked for, (..., other rows), such
    as their mean over classes. A ratio to 0 is missing; a draw that has it says nothing of that row. The same numbers
    and seed give the same interval, to five digits. NaN where there are fewer than two patients, or no ratio.
    """
    patients = parts.shape[1]
    parts, wholes = (_units(sums, seed) for sums in (parts, wholes))
    estimate = statistic(ratio(parts.sum(axis=1), wholes.sum(axis=1)))
    if patients < 2:
        return np.full((2, *estimate.shape), np.nan)
    drawn = np.concatenate([statistic(block) for block in _drawn(parts, wholes, seed, draws)])
    left_out = statistic(ratio(_without_each(parts), _without_each(wholes)).T)
    levels = _levels(estimate, drawn, left_out)
    ends = [_quantiles(column, level) for column, level in zip(drawn.T, levels.T, strict=True)]
    return np.array([[_rounded(end) for end in pair] for pair in ends]).reshape(-1, 2).T


def _units(sums: np.ndarray, seed: int) -> np.ndarray:
    """What is drawn, float64 (rows, units): patients, or where they are very many, sums of a few random ones.

    The variance of a sum is that of its summands added up, so 5,000 of them tell it as well, and cost less.
    """
    patients = sums.shape[1]
    if patients <= MOST_UNITS:
        return sums
    unit = np.random.default_rng(seed).permutation(patients) % MOST_UNITS
    return np.stack([np.bincount(unit, row, MOST_UNITS) for row in sums])


def _drawn(parts: np.ndarray, wholes: np.ndarray, seed: int, draws: int) -> Iterator[np.ndarray]:
    """Ratios of some draws at a time, float64 (n, rows)."""
    patients = parts.shape[1]
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // patients)
    for start in range(0, draws, step):
        number = min(step, draws - start)
        taken = rng.integers(patients, size=(number, patients)) + patients * np.arange(number)[:, np.newaxis]
        times = np.bincount(taken.ravel(), minlength=number * patients).reshape(number, patients).astype(np.float64)
        yield ratio(times @ parts.T, times @ wholes.T)


def _without_each(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums.sum(axis=1, keepdims=True) - sums)


def _levels(estimate: np.ndarray, drawn: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Which quantiles of the draws are the ends, float64 (2, rows); formulas 2.3 and 6.6 of Efron (1987)."""
    known = np.maximum((~np.isnan(drawn)).sum(axis=0), 1)
    below = ((drawn < estimate).sum(axis=0) + 0.5 * (drawn == estimate).sum(axis=0)) / known
    bias = ndtri(np.clip(below, 0.5 / known, 1 - 0.5 / known))
    apart = np.nan_to_num(_mean(left_out) - left_out)
    squares = (apart**2).sum(axis=0)
    acceleration = (apart**3).sum(axis=0) / np.maximum(6 * squares**1.5, np.finfo(float).tiny)
    ends = bias + np.array([[-1], [1]]) * distance(len(left_out))
    return np.asarray(ndtr(bias + ends / (1 - acceleration * ends)))


def distance(patients: int) -> float:
    """How many standard errors an end is from the middle: 1.96 for very many patients, 2.38 for ten."""
    return float(np.sqrt(patients / (patients - 1)) * stdtrit(patients - 1, (1 + LEVEL) / 2))


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    return np.quantile(known, levels) if known.size else np.full(len(levels), np.nan)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
