"""Training processes that are killed or asked to stop, and the promise that nobody can tell from the result."""

import random
import signal
import time

import pytest

from tests.workflow.training import Training, prepare_training

KILLS = 4


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> Training:
    return prepare_training(tmp_path_factory.mktemp("training"), epochs=40, ema=0.9, batch_size="auto")


@pytest.fixture(scope="module")
def unkilled(training) -> dict[str, bytes]:
    return training.finish("unkilled")


def test_sigkill_at_random_moments_leaves_no_trace(training, unkilled):
    moments, kills = random.Random(4), 0
    while kills < KILLS:
        process = training.start("killed")
        alive = training.wait_for_progress("killed", process)
        time.sleep(moments.uniform(0, 0.5))
        if not alive or process.poll() is not None:
            break
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        kills += 1
    assert kills == KILLS, f"training was over after {kills} kills"
    assert training.finish("killed") == unkilled
    assert "going on after epoch" in (training.folder / "killed.log").read_text()
    leftovers = {path.name for path in (training.folder / "killed/checkpoints").glob("*.pt")}
    assert {"last.pt", "best.pt"} <= leftovers


def test_sigterm_saves_ends_with_75_and_leaves_no_trace(training, unkilled):
    process = training.start("stopped")
    assert training.wait_for_progress("stopped", process)
    process.terminate()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 75, errors
    assert "and saved; the same command goes on from there" in errors
    assert training.finish("stopped") == unkilled
