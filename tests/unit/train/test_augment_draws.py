from dataclasses import fields, replace

import numpy as np
import pytest

from segpipe.train.augment import POLICIES, AugmentationPolicy, draw
from segpipe.train.seeds import draw_seed


def rows(draws, index):
    return [getattr(draws, field.name)[index] for field in fields(draws)]


@pytest.mark.parametrize("name", ["light", "strong"])
def test_the_draws_of_an_image_depend_on_seed_epoch_and_image_alone(name):
    both, alone = draw(POLICIES[name], 3, 1, ["a", "b"]), draw(POLICIES[name], 3, 1, ["b"])
    for one, other in zip(rows(both, 1), rows(alone, 0), strict=True):
        np.testing.assert_array_equal(one, other)
    for other in (draw(POLICIES[name], 4, 1, ["b"]), draw(POLICIES[name], 3, 2, ["b"])):
        assert other.noise_seed[0] != alone.noise_seed[0]


def test_probabilities_and_ranges_are_those_of_the_policy():
    policy = POLICIES["strong"]
    draws = draw(policy, 0, 1, [str(number) for number in range(2000)])
    turned = (draws.theta != np.eye(2, 3, dtype=np.float32)).any((1, 2))
    assert abs(turned.mean() - policy.pose) < 0.03
    assert abs((draws.gamma != 1).mean() - policy.gamma) < 0.04
    assert policy.gamma_range[0] <= draws.gamma.min() < 0.62 < 1.58 < draws.gamma.max() <= policy.gamma_range[1]
    assert abs((draws.noise > 0).mean() - policy.noise) < 0.04
    sides = draws.erase[draws.erase.any(1)]
    assert sides.min() >= 0
    assert sides.max() <= 1
    assert np.allclose(sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1], atol=1e-6)


def test_none_changes_nothing():
    draws = draw(POLICIES["none"], 0, 1, ["a", "b"])
    assert (draws.theta == np.eye(2, 3)).all()
    assert (draws.gamma == 1).all()
    assert not draws.elastic.any()
    assert not (draws.noise.any())
    assert not (draws.erase.any())
    assert not (draws.blur.any())


def test_leaving_a_step_out_changes_no_other():
    full = draw(POLICIES["strong"], 0, 1, ["a", "b", "c"])
    less = draw(replace(POLICIES["strong"], gamma=0.0), 0, 1, ["a", "b", "c"])
    np.testing.assert_array_equal(full.theta, less.theta)
    np.testing.assert_array_equal(full.noise, less.noise)
    assert (less.gamma == 1).all()
    assert isinstance(POLICIES["strong"], AugmentationPolicy)


def test_seeds_are_spread():
    assert len({draw_seed(0, epoch, str(image)) for epoch in range(10) for image in range(10)}) == 100
    assert 0 <= draw_seed(0, 0, "") < 2**32
