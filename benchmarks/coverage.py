"""How often the report's intervals hold the truth: BCa over patients beside plain percentiles of the same draws.

Scores are simulated: patients of one to five images that resemble each other.
"""

import argparse
from collections.abc import Callable

import numpy as np
from harness import print_table

from segpipe.score.intervals import bca_intervals, sums_by_patient

Scores = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def normal(rng: np.random.Generator, patients: np.ndarray) -> np.ndarray:
    """Mean 0.9."""
    return 0.9 + rng.normal(0, 0.03, patients.max() + 1)[patients] + rng.normal(0, 0.01, len(patients))


def skewed(rng: np.random.Generator, patients: np.ndarray) -> np.ndarray:
    """Towards 1, as IoUs are; mean 0.92."""
    return 1 - rng.exponential(0.06, patients.max() + 1)[patients] - rng.exponential(0.02, len(patients))


def failing(rng: np.random.Generator, patients: np.ndarray) -> np.ndarray:
    """The same with 3 % of images that fail wholly; mean 0.97 times 0.92."""
    return np.where(rng.random(len(patients)) < 0.03, 0, skewed(rng, patients))


KINDS: dict[str, tuple[Scores, float]] = {
    "normal": (normal, 0.9),
    "skewed towards 1": (skewed, 0.92),
    "and 3 % failures": (failing, 0.97 * 0.92),
}


def main() -> None:
    """One row per kind of scores and number of patients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=2000, help="simulated data sets of each row")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--patients", type=int, nargs="+", default=[10, 20, 40, 100, 300])
    arguments = parser.parse_args()
    rows = []
    for kind, (scores, truth) in KINDS.items():
        for patients in arguments.patients:
            held = np.zeros(2)
            for number in range(arguments.intervals):
                rng = np.random.default_rng([number, patients])
                who = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
                held += _holds(scores(rng, who), who, truth, number, arguments.draws)
            error = 100 * (0.05 * 0.95 / arguments.intervals) ** 0.5
            shares = [f"{100 * share:.1f}" for share in held / arguments.intervals]
            rows.append([kind, str(patients), *shares, f"{error:.1f}"])
    print_table(["scores", "patients", "report: BCa, expanded", "percentiles", "standard error"], rows)


def _holds(scores: np.ndarray, who: np.ndarray, truth: float, seed: int, draws: int) -> list[bool]:
    sums = sums_by_patient(np.stack([scores, np.ones_like(scores)]), who)
    low, high = bca_intervals(sums[:1], sums[1:], seed, draws)[:, 0]
    patients = sums.shape[1]
    times = np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=draws)
    plain = np.percentile(times @ sums[0] / (times @ sums[1]), [2.5, 97.5])
    return [bool(low <= truth <= high), bool(plain[0] <= truth <= plain[1])]


if __name__ == "__main__":
    main()
