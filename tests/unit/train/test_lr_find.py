import numpy as np
import pandas as pd
import pytest
import yaml

from segpipe.config.load import load_config
from segpipe.config.stages import stage_configs, stage_text
from segpipe.errors import ConfigError, InputError
from segpipe.samples.scan import Scan, begin
from segpipe.samples.shards import fingerprint
from segpipe.train import lr_find
from segpipe.train.lr_find import find_learning_rate, range_test, read_curve, write_picture
from tests.unit.prepared import stage

RATES = np.geomspace(1e-6, 1, 100)


def found(prepared, steps=12, highest=0.1, **changes):
    where = (prepared / "dataset.parquet", prepared / "shards", "fold0")
    return range_test(stage("train", **changes), *where, steps, 1e-4, highest)


def test_it_finds_the_steepest_descent_and_the_lowest_loss_of_a_known_curve():
    decades = np.log10(RATES)
    losses = 1 - 0.5 / (1 + np.exp(-4 * (decades + 3))) + np.where(decades > -1, decades + 1, 0)
    result = read_curve(RATES, losses, False)
    assert result.steepest == pytest.approx(1e-3, rel=0.2)
    assert result.lowest == pytest.approx(0.05, rel=0.5)
    assert result.suggestion == result.lowest / 10


def test_one_lucky_step_decides_nothing():
    losses = 1 - 0.5 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    plain = read_curve(RATES, losses, False)
    losses[5] = 0.6  # one easy batch, while nothing is learned
    assert read_curve(RATES, losses, False).lowest == plain.lowest
    assert read_curve(RATES, losses, False).steepest == pytest.approx(plain.steepest, rel=0.2)


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
    result = read_curve(RATES, np.linspace(1, 0.5, 100), False)
    for name in ("a.png", "b.png"):
        write_picture(result, tmp_path / name, "fold0", 0.002)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


CONFIG = {
    "name": "small",
    "data": {"images": "{p}.png", "masks": {"lung": "l/{p}.png", "heart": "h/{p}.png"}},
    "preprocess": {"size": 64},
    "folds": {"k": 2, "val_fraction": 0.3},
    "model": {"network": "unet2015", "options": {"width": 4, "depth": 2}},
    "train": {"batch_size": 2, "threads": 1, "learning_rate": 0.01},
}


@pytest.fixture
def config(prepared, tmp_path):
    """A config whose run is prepared."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "results": str(tmp_path)}))
    folder = tmp_path / "small"
    (folder / "dataset").mkdir(parents=True)
    (folder / "dataset/dataset.parquet").symlink_to(prepared / "dataset.parquet")
    (folder / "shards").symlink_to(prepared / "shards")
    start(path)
    return path


def start(path):
    """What a run of this config leaves when it starts: images and shards are those of the fixture."""
    config = load_config(path)
    stages = {name: fingerprint(stage_text(part).encode()) for name, part in stage_configs(config, []).items()}
    found = Scan(0, {}, stages, {})
    (config.folder / "samples").mkdir(exist_ok=True)
    (config.folder / found.file).write_text(found.text)
    begin(config, found)


def find(config, model=None, steps=10, lowest=1e-4, highest=1e-2):
    return find_learning_rate(config, model, steps, lowest, highest, None)


def test_it_writes_table_and_picture_and_touches_nothing_else(config):
    before = sorted(path for path in config.parent.rglob("*") if path.is_file())
    text = find(config)
    written = sorted({path for path in config.parent.rglob("*") if path.is_file()} - set(before))
    assert [path.relative_to(config.parent / "small").as_posix() for path in written] == [
        "lr-find/fold0/lr-find.csv",
        "lr-find/fold0/lr-find.png",
    ]
    rows = written[0].read_text().splitlines()
    assert rows[0] == "step,learning_rate,loss,smoothed"
    assert len(rows) == 11
    assert "suggestion, a tenth of the rate of the lowest loss: train.learning_rate: " in text
    first = written[0].read_bytes(), written[1].read_bytes()
    find(config)
    assert (written[0].read_bytes(), written[1].read_bytes()) == first


def test_another_model_has_files_of_its_own(config):
    find(config, "fold1")
    assert (config.parent / "small/lr-find/fold1/lr-find.csv").exists()


def test_a_run_that_is_not_prepared_says_which_command_prepares_it(config):
    (config.parent / "small/dataset/dataset.parquet").unlink()
    with pytest.raises(InputError, match=r"is not prepared: .*snakemake --cores all --configfile .* --until dataset"):
        find(config)


def test_shards_of_other_settings_are_refused(config):
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "preprocess": {"size": 96}}))
    with pytest.raises(InputError, match="prepared with other settings for preprocess"):
        find(config)


@pytest.mark.parametrize(("lowest", "highest", "steps"), [(0.1, 0.01, 10), (0, 1, 10), (1e-4, 1, 3)])
def test_a_range_that_is_none_is_refused(config, lowest, highest, steps):
    with pytest.raises(ConfigError, match="it needs 0 < lowest < highest and 10 steps"):
        find(config, None, steps, lowest, highest)


def test_an_unknown_model_is_named(config):
    with pytest.raises(InputError, match="knows no such model; it has fold0, fold1"):
        find(config, "fold7")
