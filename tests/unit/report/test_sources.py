"""What a report reads of earlier stages, and what it says where another version made a table."""

import pandas as pd
import pytest

from segpipe.config.stages import stage_configs
from segpipe.errors import InputError
from segpipe.preprocess.store import empty_row, write_rows
from segpipe.report.table import read_images, read_predictions
from segpipe.samples.sample import Sample
from tests.unit.samples.configs import write_config


@pytest.fixture
def stage(tmp_path):
    return stage_configs(write_config(tmp_path), ["view"])["report"]


def write_images(folder, shard, **more):
    rows = [empty_row(Sample(shard, f"{shard}.png", carried={"view": "pa"})) | {"status": "quarantined"} | more]
    write_rows(folder / "shards" / shard / "table.parquet", rows, ["lung"])


def test_a_column_that_only_some_shards_can_have_is_blank_in_the_others(stage, tmp_path):
    write_images(tmp_path, "0000")
    write_images(tmp_path, "0001", mask_share_lung=0.25)
    images = read_images(stage, tmp_path, ["0000", "0001"])
    assert images["mask_share_lung"].isna().tolist() == [True, False]
    assert images["carried:view"].tolist() == ["pa", "pa"]
    assert {"thumbnail", "picture", "sha256"} <= set(images)
    assert {"cache_key", "content"}.isdisjoint(images)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (
            lambda path: pd.read_parquet(path).drop(columns="sha256").to_parquet(path),
            "no column sha256: another version",
        ),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"PAR1"), "is damaged"),
    ],
)
def test_a_table_that_cannot_serve_is_named_with_what_to_do(stage, tmp_path, damage, text):
    write_images(tmp_path, "0000")
    write_images(tmp_path, "0001")
    path = tmp_path / "shards/0001/table.parquet"
    damage(path)
    with pytest.raises(InputError, match=text) as error:
        read_images(stage, tmp_path, ["0000", "0001"])
    assert f"{path} " in str(error.value)
    assert "Delete it and run snakemake again" in str(error.value)


def test_predictions_of_an_older_version_are_said_to_be_so(stage, tmp_path):
    (tmp_path / "predictions").mkdir()
    pd.DataFrame({"image_id": ["a"], "predicted": [True], "seen": [False]}).to_parquet(
        tmp_path / "predictions/0000.parquet"
    )
    with pytest.raises(InputError, match="has no column removed_pixels: another version of segpipe made it"):
        read_predictions(stage, tmp_path, ["0000"])
