"""Training on a CUDA device; skipped where there is none."""

import json
import os
import signal

import pytest
import torch

from segpipe.errors import ConfigError, InterruptedRun
from segpipe.train.stage import train_model
from segpipe.train.step import TrainStep
from tests.unit.prepared import prepare, stage
from tests.workflow.training import WRITTEN

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared"))


def train(data, output, **changes):
    wanted = stage("train", device="cuda", tensorboard=False, **changes)
    train_model(wanted, data / "dataset.parquet", data / "shards", "fold0", output)
    return {name: (output / name).read_bytes() for name in WRITTEN}


def losses(written):
    return [float(line.split(",")[2]) for line in written["history.csv"].decode().splitlines()[1:]]


def provenance(written):
    return json.loads(written["model.json"])["provenance"]


@pytest.mark.parametrize("precision", ["auto", "float16", "float32"])
def test_training_learns_and_gives_the_same_bytes_again(data, tmp_path, precision):
    one = train(data, tmp_path / "one", precision=precision, ema=0.9)
    assert losses(one)[-1] < losses(one)[0]
    assert train(data, tmp_path / "two", precision=precision, ema=0.9) == one
    assert train(data, tmp_path / "one", precision=precision, ema=0.9) == one, "from its checkpoint"
    assert provenance(one)["device"] == "cuda"


@pytest.mark.parametrize(
    "change",
    [
        {"deterministic": False},
        {"tf32": True, "precision": "float32"},
        {"channels_last": False},
        {"channels_last": True, "precision": "float32"},
        {"gradient_checkpointing": True},
        {"compile": True},
        {"optimizer": "sgd"},
    ],
    ids=str,
)
def test_every_switch_of_speed_and_memory_trains(data, tmp_path, change):
    found = losses(train(data, tmp_path, **change))
    assert found[-1] < found[0]


def test_a_signal_saves_and_the_rest_gives_the_same_bytes(data, tmp_path, monkeypatch):
    unstopped = train(data, tmp_path / "unstopped")
    real, calls = TrainStep.run, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *arguments)

    monkeypatch.setattr(TrainStep, "run", step)
    with pytest.raises(InterruptedRun, match="after 2 of 4 steps"):
        train(data, tmp_path / "stopped")
    assert train(data, tmp_path / "stopped") == unstopped


def test_auto_finds_a_batch_size_and_the_model_tells_it(data, tmp_path):
    assert provenance(train(data, tmp_path, batch_size="auto"))["batch_size"] == 1  # eight images, ten steps an epoch


def test_a_batch_that_does_not_fit_is_an_error_that_names_one_that_would(data, tmp_path):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(60e6 / total)
    try:
        with pytest.raises(ConfigError, match=r"train.batch_size: 8 does not fit .*|Not even one image"):
            train(data, tmp_path, batch_size=8, precision="float32")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
