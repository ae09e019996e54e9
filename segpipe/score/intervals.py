"""How far a mean may be from the truth, if other patients had come.

Patients are the independent units: their images resemble each other, so they come and go together; drawing images
would make the interval too narrow. Means are over images, as everywhere in the reports.
"""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
_CELLS = 1 << 22  # numbers in memory at a time, however many patients there are


def patient_means(values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The mean of each patient's images: float (..., images) to float64 (..., patients).

    ``patients`` is int (images,): the patient of each image, 0 to n - 1, each at least once.
    """
    sizes = np.bincount(patients)
    sums = [np.bincount(patients, row) for row in values.reshape(-1, len(patients))]
    return np.asarray(np.array(sums).reshape(*values.shape[:-1], len(sizes)) / sizes)


def image_mean(means: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The mean over all images from :func:`patient_means`, (..., patients) to (...).

    ``sizes`` is int (patients,): how many images each patient has.
    """
    return np.asarray(means @ sizes / sizes.sum())


def bootstrap_interval(
    means: np.ndarray, sizes: np.ndarray, seed: int, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval (2.5th and 97.5th percentile) of :func:`image_mean`, float (..., patients) to (...).

    Patients are drawn with replacement, each with all its images, and the same ones for all rows, so that
    rows may be compared (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The same values
    and seed give the same interval; with few patients it is too narrow.
    """
    patients = len(sizes)
    sums = (means * sizes).reshape(-1, patients)
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(sums)))
    step = max(1, _CELLS // patients)
    for start in range(0, draws, step):
        taken = rng.multinomial(patients, np.full(patients, 1 / patients), size=min(step, draws - start))
        drawn[start : start + step] = taken @ sums.T / (taken @ sizes)[:, np.newaxis]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0).reshape(2, *means.shape[:-1])
    return low, high


def patient_bootstrap(
    values: Sequence[float] | np.ndarray, patients: Sequence[str] | np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """:func:`bootstrap_interval` of the mean of ``values``, one per image, whose patients are named.

    Values that are NaN count for nothing; (nan, nan) where there is no other.

        >>> low, high = patient_bootstrap([0.9, 0.9, 0.9], ["a", "b", "c"])
        >>> round(low, 9), round(high, 9)
        (0.9, 0.9)
    """
    numbers = np.asarray(values, np.float64)
    known = ~np.isnan(numbers)
    if not known.any():
        return float("nan"), float("nan")
    _, who = np.unique(np.asarray(patients, dtype=object)[known].astype(str), return_inverse=True)
    low, high = bootstrap_interval(patient_means(numbers[known], who), np.bincount(who), seed)
    return float(low), float(high)
