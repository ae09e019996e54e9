"""One model trained by two processes, as torchrun starts them on two GPUs; here over gloo on a CPU."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.workflow.training import Training, prepare_training


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> Training:
    # SGD, because Adam makes whole steps of the rounding errors where a gradient should be nothing
    changes = {"epochs": 25, "batch_size": 4, "optimizer": "sgd", "ema": 0.9}
    return prepare_training(tmp_path_factory.mktemp("training"), **changes)


@pytest.fixture(scope="module")
def by_torchrun(training) -> dict[str, bytes]:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    command = [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "--", *training.command("two")]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return training.contents("two")


def test_two_processes_give_what_one_gives_with_the_same_batches(training, by_torchrun):
    one = training.finish("one")
    weights = [load(found["model.safetensors"]) for found in (one, by_torchrun)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    histories = [list(csv.DictReader(found["history.csv"].decode().splitlines())) for found in (one, by_torchrun)]
    assert len(histories[1]) == 25
    for row, other in zip(*histories, strict=True):
        assert float(other["loss"]) == pytest.approx(float(row["loss"]), rel=1e-4)
        assert float(other["val_miou"]) == pytest.approx(float(row["val_miou"]), abs=1e-3)
        assert other["learning_rate"] == row["learning_rate"]
    log = (training.folder / "two.log").read_text()
    assert log.count("epoch 25/25") == 1, "only the first process tells"
    assert "4 images a step of 2 processes" in log


def test_when_one_is_asked_to_stop_all_do_and_going_on_leaves_no_trace(training, by_torchrun):
    first, second = start_two(training, "stopped")
    assert training.wait_for_progress("stopped", first)
    second.terminate()
    for process in (first, second):
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 75, errors
        assert "and saved; the same command goes on from there" in errors
    for process in start_two(training, "stopped"):
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert training.contents("stopped") == by_torchrun


def start_two(training, output):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    return [training.start(output, RANK=rank, LOCAL_RANK=rank, **shared) for rank in ("0", "1")]
