import numpy as np
import pandas as pd
import pytest

from segpipe.errors import InputError
from segpipe.train import lr_find
from segpipe.train.lr_find import judge, range_test, write_picture
from tests.unit.prepared import stage

RATES = np.geomspace(1e-6, 1, 100)


def found(prepared, steps=12, highest=0.1, **changes):
    where = (prepared / "dataset.parquet", prepared / "shards", "fold0")
    return range_test(stage("train", **changes), *where, steps, 1e-4, highest)


def test_it_finds_the_steepest_descent_and_the_lowest_loss_of_a_known_curve():
    decades = np.log10(RATES)
    losses = 1 - 0.5 / (1 + np.exp(-4 * (decades + 3))) + np.where(decades > -1, decades + 1, 0)
    result = judge(RATES, losses, False)
    assert result.steepest == pytest.approx(1e-3, rel=0.2)
    assert result.lowest == pytest.approx(0.05, rel=0.5)
    assert result.suggestion == result.lowest / 10


def test_one_lucky_step_decides_nothing():
    losses = 1 - 0.5 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    plain = judge(RATES, losses, False)
    losses[5] = 0.6  # one easy batch, while nothing is learned
    assert judge(RATES, losses, False).lowest == plain.lowest
    assert judge(RATES, losses, False).steepest == pytest.approx(plain.steepest, rel=0.2)


def test_the_rates_rise_by_a_constant_factor_and_the_same_test_gives_the_same_losses(prepared):
    first, again = found(prepared), found(prepared)
    rates = first.table["learning_rate"]
    assert rates.iloc[[0, -1]].tolist() == pytest.approx([1e-4, 0.1])
    assert (rates[1:].to_numpy() / rates[:-1].to_numpy()).tolist() == pytest.approx([1000 ** (1 / 11)] * 11)
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    assert first.table["loss"].nunique() == 12
    assert not first.diverged


def test_it_ends_where_the_loss_diverges(prepared):
    result = found(prepared, steps=60, highest=1e6, loss="bce", optimizer="sgd")
    assert result.diverged
    assert lr_find.FEWEST <= len(result.table) < 60
    assert np.isfinite(result.table["loss"]).all()


def test_too_few_steps_before_divergence_say_to_begin_lower(prepared, monkeypatch):
    monkeypatch.setattr(lr_find, "_losses", lambda *_: [1.0, 2.0])
    with pytest.raises(InputError, match=r"within 2 steps.*Begin lower, with --lowest 1e-06"):
        found(prepared)


def test_a_first_step_without_a_number_tells_the_rate_of_that_step(prepared, monkeypatch):
    monkeypatch.setattr(lr_find, "_losses", lambda *_: [])
    with pytest.raises(InputError, match=r"within 0 steps, at a rate of 0.0001\."):
        found(prepared)


def test_the_picture_has_the_same_bytes_every_time(tmp_path):
    result = judge(RATES, np.linspace(1, 0.5, 100), False)
    for name in ("a.png", "b.png"):
        write_picture(result, tmp_path / name, "fold0", 0.002)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
