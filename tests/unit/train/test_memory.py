"""Running out of memory, simulated: no device is needed to try what the code does about it."""

import json

import pytest
import torch

from segpipe.errors import ConfigError
from segpipe.train import memory
from segpipe.train.distributed import ProcessGroup
from segpipe.train.stage import train_model
from segpipe.train.step import TrainStep
from tests.unit.prepared import stage

CPU = ProcessGroup(torch.device("cpu"))


@pytest.fixture
def room(monkeypatch):
    """Room for so many images a step, as if the device had no more memory."""

    def limit(images):
        real = TrainStep.run

        def step(self, pictures, *rest):
            if len(pictures) > images:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return real(self, pictures, *rest)

        monkeypatch.setattr(TrainStep, "run", step)

    return limit


def train(prepared, output, **changes):
    train_model(stage("train", **changes), prepared / "dataset.parquet", prepared / "shards", "fold0", output)
    return json.loads((output / "model.json").read_text())["provenance"]


@pytest.mark.parametrize(("room", "most", "found"), [(11, 64, 8), (100, 6, 4), (0, 64, 0), (1, 1, 1)])
def test_sizes_double_until_one_does_not_fit(room, most, found):
    tried = []

    def attempt(size):
        tried.append(size)
        if size > room:
            raise torch.OutOfMemoryError("no room")

    assert memory.largest_that_fits(attempt, most) == found
    assert max(tried) <= most


def test_another_error_while_trying_is_not_taken_for_a_full_memory():
    def attempt(_):
        raise RuntimeError("device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert"):
        memory.largest_that_fits(attempt, 4)


def test_auto_is_two_on_a_cpu_and_says_so(prepared, tmp_path, caplog):
    caplog.set_level("INFO", logger="segpipe")
    assert train(prepared, tmp_path, batch_size="auto", epochs=1)["batch_size"] == 2
    assert "train.batch_size: auto is 2 on a CPU" in caplog.text
    assert memory.choose_batch_size(stage("train"), ProcessGroup(torch.device("cpu"), 0, 3), 100) == 3, (
        "one for each process"
    )


def test_auto_is_bounded_by_memory_or_by_the_steps_that_an_epoch_needs(monkeypatch, caplog):
    caplog.set_level("INFO", logger="segpipe")
    gpu, tried = ProcessGroup(torch.device("cuda")), []
    monkeypatch.setattr(memory, "try_steps", lambda *what: tried.append(what[2]))
    assert memory.choose_batch_size(stage("train"), gpu, 170) == 16
    assert tried == [1, 2, 4, 8, 16]
    assert "limited by the 170 training images: an epoch keeps 10 steps" in caplog.text

    def full(_, __, images):
        if images > 4:
            raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(memory, "try_steps", full)
    assert memory.choose_batch_size(stage("train"), gpu, 170) == 4
    assert "limited by memory" in caplog.text


def test_auto_goes_on_with_half_from_the_checkpoint(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(memory, "ON_A_CPU", 4)
    real, calls = TrainStep.run, []

    def full_in_the_second_epoch(self, pictures, *rest):
        calls.append(len(pictures))
        if len(calls) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, pictures, *rest)

    monkeypatch.setattr(TrainStep, "run", full_in_the_second_epoch)
    assert train(prepared, tmp_path, batch_size="auto")["batch_size"] == 2
    assert calls == [4, 4, 4, 4] + [2] * 8, "the second epoch is begun again, in more steps"
    assert "out of memory with 4 images a step; going on from the last checkpoint with 2" in caplog.text
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 4


def test_a_size_of_the_config_that_does_not_fit_is_an_error_that_names_one_that_would(prepared, tmp_path, room):
    room(3)
    with pytest.raises(ConfigError, match=r"train.batch_size: 4 does not fit into .*; 2 would \(found by trying\)"):
        train(prepared, tmp_path, batch_size=4)
    room(0)
    with pytest.raises(
        ConfigError, match=r"Not even one image .*gradient_checkpointing: true.*preprocess.size below 64"
    ):
        train(prepared, tmp_path, batch_size=1)


def test_several_processes_that_run_out_with_auto_are_not_told_to_use_auto(room):
    room(2)
    text = str(memory.does_not_fit(stage("train", batch_size="auto"), ProcessGroup(torch.device("cpu"), 0, 2), 8))
    assert "train.batch_size: auto chose 8, which does not fit" in text
    assert "; 4 would (found by trying). Set it to that, or save memory" in text
