import json
import os
import resource
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from segpipe.errors import ConfigError, DiskFullError, InputError, InterruptedRun
from segpipe.train import checkpoints, loop
from segpipe.train.checkpoints import Checkpoints, read_state
from segpipe.train.stage import train_model
from segpipe.train.step import TrainStep
from tests.unit.prepared import stage

FILES = ("model.safetensors", "model.json", "history.csv", "training.csv")


def train(prepared, output, model="fold0", require=False, options=None, **changes):
    wanted = stage("train", **changes)
    if options:
        wanted = wanted.model_copy(update={"model": wanted.model.model_copy(update={"options": options})})
    train_model(wanted, prepared / "dataset.parquet", prepared / "shards", model, output, require)
    return {name: (output / name).read_bytes() for name in FILES}


class CountedCalls:
    """A method that counts how often it is called."""

    def __init__(self, method):
        self.method, self.calls = method, 0

    def __get__(self, instance, _):
        def call(*arguments):
            self.calls += 1
            return self.method(instance, *arguments)

        return call


@pytest.fixture(scope="module")
def plain(prepared, tmp_path_factory):
    return train(prepared, tmp_path_factory.mktemp("plain"))


def test_two_runs_give_the_same_bytes_and_another_seed_or_fold_others(prepared, plain, tmp_path):
    assert train(prepared, tmp_path / "again") == plain
    assert train(prepared, tmp_path / "other", model="fold1")["model.safetensors"] != plain["model.safetensors"]


def test_it_learns(plain):
    history = [line.split(",") for line in plain["history.csv"].decode().splitlines()]
    assert history[0] == ["epoch", "learning_rate", "loss", "val_miou"]
    assert [row[0] for row in history[1:]] == ["1", "2", "3"]
    losses = [float(row[2]) for row in history[1:]]
    assert losses[-1] < losses[0]
    card = json.loads(plain["model.json"])
    best = max(history[1:], key=lambda row: float(row[3]))
    assert card["provenance"]["best_epoch"] == int(best[0])
    assert list(card["classes"]) == ["lung", "heart"]


def dying(monkeypatch, when, how):
    """Save as usual; where ``when(state)``, do something awful afterwards."""
    real = Checkpoints.save

    def save_and_die(self, state):
        real(self, state)
        if when(state):
            how()

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    return lambda: monkeypatch.setattr(Checkpoints, "save", real)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("change", [{}, {"ema": 0.9, "loss": "dice"}])
def test_stopping_after_an_epoch_and_going_on_gives_the_same_bytes(prepared, tmp_path, monkeypatch, epoch, change):
    unstopped = train(prepared, tmp_path / "unstopped", **change)
    restore = dying(monkeypatch, lambda state: state.epoch == epoch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, tmp_path, **change)
    assert not (tmp_path / "model.json").exists()
    restore()
    torch.manual_seed(999)  # whatever the process did before must not matter
    np.random.seed(999)
    assert train(prepared, tmp_path, **change) == unstopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [1, 6])
def test_a_signal_saves_within_the_epoch_and_the_rest_gives_the_same_bytes(
    prepared, tmp_path, monkeypatch, number, after
):
    dropout = {"channels": [4, 8, 16], "num_res_units": 1, "dropout": 0.5}
    unstopped = train(prepared, tmp_path / "unstopped", options=dropout, ema=0.9)
    real, calls = TrainStep.run, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == after:
            os.kill(os.getpid(), number)
        return real(self, *arguments)

    monkeypatch.setattr(TrainStep, "run", step)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRun, match=f"after {after % 4} of 4 steps, and saved") as stopped:
        train(prepared, tmp_path, options=dropout, ema=0.9)
    assert stopped.value.exit_code == (75 if number == signal.SIGTERM else 130)
    assert signal.getsignal(number) == before
    assert (read_state(tmp_path / "checkpoints/last.pt").epoch, len(calls)) == (after // 4, after)
    assert train(prepared, tmp_path, options=dropout, ema=0.9) == unstopped
    assert len(calls) == 12, "no step was done twice"


def test_a_signal_while_validating_saves_the_epochs_steps(prepared, plain, tmp_path, monkeypatch):
    real = loop.validation_miou

    def validate_slowly(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(loop, "validation_miou", validate_slowly)
    with pytest.raises(InterruptedRun, match="in epoch 1 of 3 after 4 of 4 steps"):
        train(prepared, tmp_path)
    monkeypatch.setattr(loop, "validation_miou", real)
    monkeypatch.setattr(loop.Trainer, "rate", counting := CountedCalls(loop.Trainer.rate))
    assert train(prepared, tmp_path) == plain
    assert counting.calls == 8 + 3, "two epochs of four steps, and a row of the history for each of three"


def test_long_epochs_are_saved_within(prepared, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    restore = dying(monkeypatch, lambda state: (state.epoch, state.step) == (1, 1), interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, tmp_path)
    restore()
    assert train(prepared, tmp_path) == plain


def test_a_finished_training_is_not_repeated(prepared, plain, tmp_path, monkeypatch):
    train(prepared, tmp_path)
    monkeypatch.setattr(loop.Trainer, "epoch", lambda *_: pytest.fail("trained again"))
    assert train(prepared, tmp_path, tensorboard=False, repeats=2) == plain


def test_a_checkpoint_of_another_config_is_set_aside_and_taken_up_again(prepared, plain, tmp_path, caplog, monkeypatch):
    train(prepared, tmp_path, learning_rate=0.02)
    other = train(prepared, tmp_path, loss="bce")
    assert "train.loss: bce, was dice_ce; train.learning_rate: 0.01, was 0.02" in caplog.text
    assert "It becomes superseded-" in caplog.text
    with pytest.raises(ConfigError, match=r"train.loss: dice_ce, was bce. It is left as it is"):
        train(prepared, tmp_path, require=True)
    assert train(prepared, tmp_path) == plain
    assert len(list((tmp_path / "checkpoints").glob("superseded-*.pt"))) == 1
    monkeypatch.setattr(loop.Trainer, "epoch", lambda *_: pytest.fail("trained again"))
    assert train(prepared, tmp_path, loss="bce") == other, "the settings came back"
    assert train(prepared, tmp_path) == plain


def test_a_damaged_checkpoint_falls_back_to_the_best_and_then_to_the_beginning(prepared, plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="segpipe")
    train(prepared, tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / "last.pt").write_bytes((folder / "last.pt").read_bytes()[:5000])
    assert train(prepared, tmp_path) == plain
    assert "last.pt is damaged" in caplog.text
    assert f"going on after epoch 3 from {folder / 'best.pt'}" in caplog.text
    for path in folder.glob("*.pt"):
        path.write_bytes(b"rubbish")
    with pytest.raises(ConfigError, match="holds no checkpoint to go on from"):
        train(prepared, tmp_path, require=True)
    assert train(prepared, tmp_path) == plain


def test_a_full_disk_keeps_the_checkpoint_of_before(prepared, plain, tmp_path, monkeypatch):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    restore = dying(monkeypatch, lambda _: True, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard)))
    try:
        with pytest.raises(DiskFullError, match=r"last.pt: cannot be written .* What was there before is untouched"):
            train(prepared, tmp_path, tensorboard=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    restore()
    assert read_state(tmp_path / "checkpoints/last.pt").epoch == 1
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.pt", "last.pt"]
    assert train(prepared, tmp_path, tensorboard=False) == plain


def test_the_average_of_the_weights_is_validated_and_kept(prepared, plain, tmp_path):
    averaged = train(prepared, tmp_path, ema=0.99)
    assert averaged["model.safetensors"] != plain["model.safetensors"]
    state = read_state(tmp_path / "checkpoints/last.pt")
    assert state.best_epoch == 3
    assert all(torch.equal(state.best_weights[name], state.average[name]) for name in state.average)
    assert any(not torch.equal(state.weights[name], state.average[name]) for name in state.average)
    losses = [
        [line.split(",")[2] for line in found["history.csv"].decode().splitlines()] for found in (plain, averaged)
    ]
    assert losses[0] == losses[1], "the average does not steer training"


def test_train_patients_trains_on_some_and_validates_on_all(prepared, plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="segpipe")
    few = train(prepared, tmp_path, patients=3)
    assert "train.patients: 3: trains on 3 of 8 images, those of 3 of 8 patients" in caplog.text
    cards = [json.loads(found["model.json"])["provenance"] for found in (plain, few)]
    assert cards[0]["val_images"] == cards[1]["val_images"]
    assert (cards[0]["train_images"], cards[1]["train_images"]) == (8, 3)


def test_a_repeat_has_the_patients_of_its_fold_and_a_seed_of_its_own(prepared, plain, tmp_path):
    repeat = train(prepared, tmp_path, model="fold0-r2")
    assert repeat["training.csv"] == plain["training.csv"]
    assert repeat["model.safetensors"] != plain["model.safetensors"]


def test_workers_and_previews_do_not_change_the_result(prepared, plain, tmp_path):
    assert train(prepared, tmp_path, workers=2, preview_every=2) == plain
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["epoch-0002.png", "epoch-0003.png"]


def test_patience_stops_early(prepared, tmp_path, monkeypatch):
    scores = iter([0.5, 0.6, 0.4, 0.3, 0.9, 0.9])
    monkeypatch.setattr(loop, "validation_miou", lambda *_: next(scores))
    history = train(prepared, tmp_path, epochs=6, patience=2)["history.csv"].decode().splitlines()
    assert len(history) == 5
    assert json.loads((tmp_path / "model.json").read_text())["provenance"]["best_epoch"] == 2


@pytest.mark.parametrize(
    ("factor", "problem"), [("nan", "the loss became NaN or infinite"), ("1e9", r"the loss exploded to \d.\d+e\+\d+")]
)
def test_a_loss_that_is_lost_names_the_images_and_keeps_the_checkpoint(
    prepared, plain, tmp_path, monkeypatch, factor, problem
):
    real, calls = TrainStep.run, []

    def explode_in_the_second_epoch(self, images, masks, rate, number):
        loss, norm = real(self, images, masks, rate, number)
        calls.append(number)
        return (loss * float(factor) if number == 5 else loss), norm

    monkeypatch.setattr(TrainStep, "run", explode_in_the_second_epoch)
    with pytest.raises(InputError, match=problem + r" in epoch 2, in the batch of i\d\d, i\d\d\. .*Try half"):
        train(prepared, tmp_path)
    assert calls == [0, 1, 2, 3, 4, 5]
    assert read_state(tmp_path / "checkpoints/last.pt").epoch == 1
    monkeypatch.setattr(TrainStep, "run", real)
    assert train(prepared, tmp_path) == plain


def test_weights_that_the_last_step_spoilt_are_not_saved(prepared, plain, tmp_path, monkeypatch):
    real = TrainStep.run

    def spoil_in_the_second_epoch(self, images, masks, rate, number):
        found = real(self, images, masks, rate, number)
        if number == 7:  # the epoch's last: no loss sees these weights before they are validated
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        return found

    monkeypatch.setattr(TrainStep, "run", spoil_in_the_second_epoch)
    with pytest.raises(InputError, match=r"validation images became NaN or infinite in epoch 2\. The last checkpoint"):
        train(prepared, tmp_path)
    assert read_state(tmp_path / "checkpoints/last.pt").epoch == 1
    monkeypatch.setattr(TrainStep, "run", real)
    assert train(prepared, tmp_path) == plain


def test_a_checkpoint_that_cannot_be_read_for_the_moment_is_left_as_it_is(prepared, plain, tmp_path, monkeypatch):
    train(prepared, tmp_path)
    there = sorted((tmp_path / "checkpoints").iterdir())

    def fail(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "read_state", fail)
        with pytest.raises(InputError, match=r"last.pt cannot be read: Input/output error. It is left as it is"):
            train(prepared, tmp_path)
    assert sorted((tmp_path / "checkpoints").iterdir()) == there
    assert train(prepared, tmp_path) == plain


@pytest.mark.parametrize("change", [{"loss": "bce"}, {"loss": "dice_focal"}, {"optimizer": "sgd"}, {"augment": "none"}])
def test_every_choice_trains_and_decides_the_result(prepared, plain, tmp_path, change):
    assert train(prepared, tmp_path, epochs=1, **change)["model.safetensors"] != plain["model.safetensors"]


def test_a_fold_without_validation_says_so(prepared, tmp_path):
    table = pd.read_parquet(prepared / "dataset.parquet")
    table["role:fold0"] = "train"
    table.to_parquet(tmp_path / "dataset.parquet")
    with pytest.raises(InputError, match="none of the 12 labelled images has the role 'val'"):
        train_model(stage("train"), tmp_path / "dataset.parquet", prepared / "shards", "fold0", tmp_path)


def test_another_number_of_processes_goes_on_and_says_so(prepared, tmp_path, monkeypatch, caplog):
    restore = dying(monkeypatch, lambda state: state.epoch == 1, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, tmp_path)
    restore()
    state = read_state(tmp_path / "checkpoints/last.pt")
    state.processes = 4
    Checkpoints(tmp_path / "checkpoints").save(state)
    found = train(prepared, tmp_path)
    assert "4 processes trained so far and 1 go on" in caplog.text
    assert json.loads(found["model.json"])["provenance"]["processes"] == 1
