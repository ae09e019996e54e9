"""Training and prediction on a CUDA device; skipped where there is none."""

import json

import pytest
import torch

from segpipe.train.loop import train_model
from tests.unit.prepared import prepare, stage

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


@pytest.mark.parametrize("precision", ["auto", "float16", "float32"])
def test_training_on_a_gpu_learns_and_goes_on_from_its_checkpoint(tmp_path, precision):
    prepared = prepare(tmp_path / "prepared")
    arguments = (prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path / "model")
    train_model(stage("train", device="cuda", precision=precision), *arguments)
    losses = [float(line.split(",")[2]) for line in (tmp_path / "model/history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]
    before = (tmp_path / "model/model.safetensors").read_bytes()
    train_model(stage("train", device="cuda", precision=precision), *arguments)
    assert (tmp_path / "model/model.safetensors").read_bytes() == before
    assert json.loads((tmp_path / "model/model.json").read_text())["provenance"]["device"] == "cuda"
