import itertools

import pytest

from segpipe.train.seeds import learning_rate, number_of_epochs


def test_the_rate_warms_up_and_then_follows_half_a_cosine():
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.001
    assert learning_rate(0, 1, 0, 0.5) == 0.5


def test_automatic_length_shows_6400_pictures_within_bounds() -> None:
    assert [number_of_epochs("auto", images) for images in (1, 21, 22, 80, 160, 640, 10**6)] == [
        300, 300, 291, 80, 40, 10, 10,
    ]  # fmt: skip
    assert number_of_epochs(3, 10**6) == 3
