"""Statistics against sums done by hand."""

import numpy as np
import pytest
from scipy import stats

from segpipe.compare.tables import holm, signed_rank_p


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 2 / 2**6),  # all signs alike: 1 of 64 ways on either side
        ([0.1, 0.2, -0.05], 4 / 2**3),  # rank sum 1 of the negative ones: {} and {1}, twice
        ([0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5], 2 / 2**5),  # zeros are left out
        ([0.0, 0.0, 0.0], 1.0),
        ([], 1.0),
    ],
)
def test_the_signed_rank_test_gives_what_counting_gives(differences, p):
    assert signed_rank_p(np.array(differences, float)) == pytest.approx(p)


def test_the_signed_rank_test_is_scipys_and_takes_noise_for_ties():
    differences = np.random.default_rng(3).normal(0.2, 1, 40)
    assert signed_rank_p(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)
    ties = np.array([0.1, 0.1, -0.1, 0.2, 0.3])
    assert signed_rank_p(ties + np.array([1e-15, -1e-15, 1e-15, 0, 0])) == signed_rank_p(ties)


def test_holms_correction_as_in_a_worked_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.6])), [1.0, 1.0])
    assert holm(np.array([])).size == 0
