import math

import numpy as np
import pandas as pd
import pytest

from segpipe.score.calibration import disagreement, mean_entropy, rank_correlation
from tests.unit.score.masks import mask


def test_entropy_is_a_bit_where_nothing_is_known_and_none_where_all_is():
    assert mean_entropy(np.full((2, 2), 0.5)) == pytest.approx(1)
    assert mean_entropy(np.array([[0.0, 1.0]])) == pytest.approx(0, abs=1e-9)
    assert mean_entropy(np.array([[0.25, 0.5]])) == pytest.approx((0.811278 + 1) / 2, abs=1e-6)


def test_disagreement_by_hand():
    """Dice of each two of three masks: 1/2, 0 and 2/3 (of areas 2, 2 and 1)."""
    masks = np.stack([mask("11.."), mask(".11."), mask("..1.")]).astype(bool)
    assert disagreement(masks) == pytest.approx(1 - (1 / 2 + 0 + 2 / 3) / 3)


def test_masks_that_are_alike_or_all_empty_agree_and_a_single_one_says_nothing():
    assert disagreement(np.ones((3, 2, 2), bool)) == disagreement(np.zeros((3, 2, 2), bool)) == 0
    assert disagreement(np.stack([np.ones((2, 2), bool), np.zeros((2, 2), bool)])) == 1
    assert math.isnan(disagreement(np.ones((1, 2, 2), bool)))


def test_rank_correlation_is_spearmans_with_ties_and_without_blanks():
    stats = pytest.importorskip("scipy.stats")
    values, scores = [3, 1, 2, 2, 9, np.nan], [0.3, 0.5, 0.4, 0.6, 0.1, 0.9]
    found, count = rank_correlation(pd.Series(values), pd.Series(scores))
    assert (found, count) == (pytest.approx(stats.spearmanr(values[:5], scores[:5]).statistic), 5)


@pytest.mark.parametrize("values", [[1, 2], [1, 1, 1], []])
def test_too_few_or_all_alike_have_no_correlation(values):
    found, count = rank_correlation(pd.Series(values, dtype=float), pd.Series(np.arange(len(values)), dtype=float))
    assert math.isnan(found)
    assert count == len(values)
