import numpy as np
import pytest

from segpipe.score.calibration import brier_score, expected_calibration_error


def test_brier_score_by_hand():
    """0.2, 0.4 and 0 off: (0.04 + 0.16 + 0 + 0) / 4."""
    probability, reference = np.array([[0.8, 0.4], [1.0, 0.0]]), np.array([[1, 0], [1, 0]])
    assert brier_score(probability, reference) == pytest.approx(0.05)


def test_calibration_error_by_hand():
    """Two pixels near 0.9 of which one is right: 0.4 off; two of 0.1 of which none is: 0.1 off; half each."""
    probability, reference = np.array([[0.9, 0.91], [0.1, 0.1]]), np.array([[1, 0], [0, 0]])
    assert expected_calibration_error(probability, reference) == pytest.approx((0.405 * 2 + 0.1 * 2) / 4)


@pytest.mark.parametrize("truth", [0, 1])
def test_certainty_that_is_right_has_no_error_and_that_is_wrong_all_of_it(truth):
    probability = np.full((3, 3), float(truth))
    assert brier_score(probability, probability) == expected_calibration_error(probability, probability) == 0
    assert brier_score(probability, 1 - probability) == expected_calibration_error(probability, 1 - probability) == 1


def test_probabilities_that_come_true_have_no_calibration_error_but_a_brier_score():
    rng = np.random.default_rng(0)
    probability = rng.random((1000, 1000))
    reference = rng.random((1000, 1000)) < probability
    assert expected_calibration_error(probability, reference) < 0.003
    assert brier_score(probability, reference) == pytest.approx(1 / 6, abs=0.002)


def test_float32_is_summed_as_precisely_as_float64():
    probability = np.full((2000, 2000), 0.1, np.float32)
    assert brier_score(probability, np.zeros((2000, 2000), bool)) == pytest.approx(0.01, rel=1e-6)


def test_they_agree_with_torchmetrics():
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.functional")
    rng = np.random.default_rng(1)
    probability = 0.5 + rng.random((50, 40)) / 2  # its error is of the likelier side; above a half it is the same
    reference = rng.random((50, 40)) < probability**2
    pair = torch.from_numpy(probability).ravel(), torch.from_numpy(reference).ravel().int()
    theirs = functional.calibration_error(*pair, task="binary", n_bins=15)
    assert expected_calibration_error(probability, reference) == pytest.approx(float(theirs), abs=1e-6)
