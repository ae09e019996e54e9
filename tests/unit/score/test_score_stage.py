"""The score stage in its processes."""

import shutil

import cv2
import pandas as pd
import pytest

from segpipe.config.stages import ScoreStage, load_stage
from segpipe.errors import InputError
from segpipe.samples.scan import read_scan
from segpipe.score.stage import score_shard
from tests.unit.finished import make_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def score(finished, tmp_path):
    """Score the first shard again, with a copy of the data."""
    results = finished.folder
    shutil.copytree(finished.data.root, tmp_path / "data")
    stage = load_stage(results / read_scan(finished).stage("score"), ScoreStage).model_copy(
        update={"root": tmp_path / "data"}
    )

    def run(threads=1):
        output = tmp_path / f"{threads}.parquet"
        tables = (results / part for part in (read_scan(finished).table("0000"), "shards/0000/table.parquet"))
        score_shard(stage, *tables, results / "predictions/0000.parquet", results / "masks/0000", output, threads)
        return output

    return run


def test_the_table_is_the_same_for_any_number_of_threads(finished, score):
    table = score(1).read_bytes()
    assert table == score(3).read_bytes()
    assert table == (finished.folder / "scores/0000.parquet").read_bytes()


def reference(finished, folder):
    """The first scored image and a file of its reference."""
    image_id = pd.read_parquet(finished.folder / "scores/0000.parquet")["image_id"][0]
    return folder / f"data/masks/lung/{image_id}.png"


def test_a_reference_that_was_drawn_again_since_is_not_scored(finished, score, tmp_path):
    path = reference(finished, tmp_path)
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[::-1])
    with pytest.raises(InputError, match=r"changed since it was preprocessed\. Run again"):
        score(2)


def test_a_reference_that_is_damaged_since_is_named(finished, score, tmp_path):
    path = reference(finished, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=rf"changed since it was preprocessed: mask .*{path.name}"):
        score()


def test_a_file_that_kills_its_reader_ends_with_a_reason(score, monkeypatch):
    monkeypatch.setattr("segpipe.score.stage.scoring", _dying)
    with pytest.raises(InputError, match=r"Scoring \S+ crashed its decoder \(exit code 9\)"):
        score()


def _dying(*_):
    import os

    return lambda image_id: os._exit(9)
