"""Statistics against sums done by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segpipe.compare.stage import holm, image_mean, mean_interval, patient_means, signed_rank_p
from segpipe.score.summary import of_images


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


def test_patients_images_are_averaged_and_the_mean_is_over_images():
    values = np.array([[1.0, 0.0, 0.4, 0.6], [0.0, 1.0, 1.0, 1.0]])
    means = patient_means(values, np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(means, [[1.0, 1 / 3], [0.0, 1.0]])
    np.testing.assert_allclose(image_mean(means, np.array([1, 3])), [0.5, 0.75], err_msg="that of the four images")


def test_an_interval_is_that_of_the_report_alone_or_among_others():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, 17)
    patients = np.repeat(np.arange(17), sizes)
    values = rng.beta(20, 2, (3, 4, len(patients)))
    together = mean_interval(patient_means(values, patients), sizes, seed=7)
    assert together.shape == (2, 3, 4)
    rows = pd.DataFrame({"image_id": "", "patient": [f"p{n:02}" for n in patients], "miou": values[1, 2]})
    report = of_images(rows, ["miou"], seed=7)["miou"]
    assert together[:, 1, 2].tolist() == pytest.approx([report["low"], report["high"]], rel=2e-5)
