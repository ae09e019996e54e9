import pytest
import yaml

from segpipe.config.load import load_config
from segpipe.config.stages import stage_configs, stage_file, stage_text
from segpipe.errors import ConfigError, InputError
from segpipe.samples.shards import fingerprint
from segpipe.train.lr_find import find_learning_rate

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
    (folder / "config").mkdir(parents=True)
    (folder / "dataset").mkdir()
    (folder / "dataset/dataset.parquet").symlink_to(prepared / "dataset.parquet")
    (folder / "shards").symlink_to(prepared / "shards")
    for name, stage in stage_configs(load_config(path), []).items():
        text = stage_text(stage)
        (folder / stage_file(name, fingerprint(text.encode()))).write_text(text)
    return path


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
    (path,) = (config.parent / "small/config").glob("preprocess-*.json")
    path.rename(path.with_name("preprocess-0000000000000000.json"))
    with pytest.raises(InputError, match="prepared with other settings for preprocess"):
        find(config)


@pytest.mark.parametrize(("lowest", "highest", "steps"), [(0.1, 0.01, 10), (0, 1, 10), (1e-4, 1, 3)])
def test_a_range_that_is_none_is_refused(config, lowest, highest, steps):
    with pytest.raises(ConfigError, match="it needs 0 < lowest < highest and 10 steps"):
        find(config, None, steps, lowest, highest)


def test_an_unknown_model_is_named(config):
    with pytest.raises(InputError, match="knows no such model; it has fold0, fold1"):
        find(config, "fold7")
