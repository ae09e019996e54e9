import math

import numpy as np
import pytest

from segpipe.score.intervals import bootstrap_interval, image_mean, patient_bootstrap, patient_means


def test_the_interval_is_that_of_the_mean_of_independent_patients():
    values = np.random.default_rng(3).normal(0.9, 0.05, 200)
    low, high = patient_bootstrap(values, [f"p{n}" for n in range(200)])
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.1)
    assert low < values.mean() < high


def test_copies_of_a_patients_image_add_nothing():
    values, patients = [0.1, 0.5, 0.9], ["a", "b", "c"]
    assert patient_bootstrap(values * 4, patients * 4) == pytest.approx(patient_bootstrap(values, patients))
    narrow = patient_bootstrap(values * 4, [str(number) for number in range(12)])
    assert narrow[1] - narrow[0] < 0.8 * np.diff(patient_bootstrap(values, patients))[0]


def test_the_same_seed_gives_the_same_interval_and_another_another():
    values, patients = np.linspace(0, 1, 20), [str(n // 2) for n in range(20)]
    assert patient_bootstrap(values, patients, seed=1) == patient_bootstrap(values, patients, seed=1)
    assert patient_bootstrap(values, patients, seed=1) != patient_bootstrap(values, patients, seed=2)


def test_missing_values_count_for_nothing():
    assert patient_bootstrap([0.2, float("nan"), 0.8], list("abc")) == patient_bootstrap([0.2, 0.8], list("ac"))
    assert all(math.isnan(end) for end in patient_bootstrap([float("nan")], ["a"]))
    assert all(math.isnan(end) for end in patient_bootstrap([], []))


def test_patients_images_are_averaged_and_the_mean_is_over_images():
    values = np.array([[1.0, 0.0, 0.4, 0.6], [0.0, 1.0, 1.0, 1.0]])
    means = patient_means(values, np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(means, [[1.0, 1 / 3], [0.0, 1.0]])
    np.testing.assert_allclose(image_mean(means, np.array([1, 3])), [0.5, 0.75], err_msg="that of the four images")


def test_the_interval_is_that_of_the_outcomes_counted_by_hand():
    """Two patients, 0 and 1: drawn twice, the mean is 0, 0.5, 0.5 or 1, each a quarter of the time."""
    low, high = bootstrap_interval(np.array([0.0, 1.0]), np.array([1, 1]), seed=0)
    assert (low, high) == (0.0, 1.0)
    # One of 0 with three images, one of 1 with one: 0, (0 + 0 + 0 + 1) / 4 or 1.
    rng_free = bootstrap_interval(np.array([[0.0, 1.0]]), np.array([3, 1]), seed=1, draws=2000)
    assert [float(end[0]) for end in rng_free] == [0.0, 1.0]


def test_the_interval_agrees_with_the_normal_one_for_many_patients():
    values = np.random.default_rng(5).normal(0.8, 0.1, 400)
    low, high = bootstrap_interval(values, np.ones(400, int), seed=0)
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_the_same_seed_gives_the_same_interval_alone_or_among_others_and_another_seed_another():
    values = np.random.default_rng(0).uniform(size=(3, 4, 17))
    sizes = np.arange(1, 18)
    together = bootstrap_interval(values, sizes, seed=7)
    alone = bootstrap_interval(values[1, 2], sizes, seed=7)
    np.testing.assert_allclose([end[1, 2] for end in together], alone, rtol=1e-12)
    assert together[0].shape == (3, 4)
    np.testing.assert_array_equal(together, bootstrap_interval(values, sizes, seed=7))
    assert not np.array_equal(together, bootstrap_interval(values, sizes, seed=8))


def test_patients_that_all_agree_leave_no_width():
    low, high = bootstrap_interval(np.full(5, 0.9), np.ones(5, int), seed=0)
    assert (low, high) == pytest.approx((0.9, 0.9))


def test_blocks_of_draws_change_nothing(monkeypatch):
    values, sizes = np.random.default_rng(2).uniform(size=(2, 30)), np.ones(30, int)
    whole = bootstrap_interval(values, sizes, seed=0, draws=500)
    monkeypatch.setattr("segpipe.score.intervals._CELLS", 100)
    np.testing.assert_allclose(bootstrap_interval(values, sizes, seed=0, draws=500), whole, rtol=1e-12)
