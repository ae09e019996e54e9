import json

import numpy as np
import pandas as pd
import pytest
import torch

from segpipe.errors import InputError
from segpipe.train import loop
from segpipe.train.loop import train_model
from tests.unit.prepared import stage

FILES = ("model.safetensors", "model.json", "history.csv", "training.csv")


def train(prepared, output, model="fold0", **changes):
    train_model(stage("train", **changes), prepared / "dataset.parquet", prepared / "shards", model, output)
    return {name: (output / name).read_bytes() for name in FILES}


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


@pytest.mark.parametrize("epoch", [1, 2])
def test_stopping_after_an_epoch_and_going_on_gives_the_same_bytes(prepared, plain, tmp_path, monkeypatch, epoch):
    real = loop.save_state

    def save_and_die(state, path):
        real(state, path)
        if state.epoch == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, tmp_path)
    assert not (tmp_path / "model.json").exists()
    monkeypatch.setattr(loop, "save_state", real)
    torch.manual_seed(999)  # whatever the process did before must not matter
    np.random.seed(999)
    assert train(prepared, tmp_path) == plain


def test_a_finished_training_is_not_repeated(prepared, plain, tmp_path, monkeypatch):
    train(prepared, tmp_path)
    monkeypatch.setattr(loop.Trainer, "_epoch", lambda *_: pytest.fail("trained again"))
    assert train(prepared, tmp_path) == plain


def test_a_checkpoint_of_another_config_is_set_aside_and_training_starts_anew(prepared, plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="segpipe")
    train(prepared, tmp_path, learning_rate=0.02)
    assert train(prepared, tmp_path) == plain
    assert "belongs to another config" in caplog.text
    (tmp_path / "checkpoints/last.pt").write_bytes(b"rubbish")
    assert train(prepared, tmp_path) == plain
    assert "is no checkpoint of this version" in caplog.text


def test_workers_and_previews_do_not_change_the_result(prepared, plain, tmp_path):
    assert train(prepared, tmp_path, workers=2, preview_every=2) == plain
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["epoch-0002.png", "epoch-0003.png"]


def test_patience_stops_early(prepared, tmp_path, monkeypatch):
    scores = iter([0.5, 0.6, 0.4, 0.3, 0.9, 0.9])
    monkeypatch.setattr(loop, "validation_miou", lambda *_: next(scores))
    history = train(prepared, tmp_path, epochs=6, patience=2)["history.csv"].decode().splitlines()
    assert len(history) == 5
    assert json.loads((tmp_path / "model.json").read_text())["provenance"]["best_epoch"] == 2


def test_a_loss_that_is_no_number_names_the_images_and_keeps_the_checkpoint(prepared, tmp_path, monkeypatch):
    real, calls = loop.build_loss, []

    def explode_in_the_second_epoch(name):
        calls.append(name)
        return real(name) if len(calls) == 1 else lambda logits, _: logits.sum() * float("nan")

    monkeypatch.setattr(loop, "build_loss", explode_in_the_second_epoch)
    with pytest.raises(InputError, match=r"NaN or infinite in epoch 2, in the batch of i\d\d, i\d\d"):
        train(prepared, tmp_path)
    assert torch.load(tmp_path / "checkpoints/last.pt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("change", [{"loss": "bce"}, {"loss": "dice_focal"}, {"optimizer": "sgd"}, {"augment": "none"}])
def test_every_choice_trains_and_decides_the_result(prepared, plain, tmp_path, change):
    assert train(prepared, tmp_path, epochs=1, **change)["model.safetensors"] != plain["model.safetensors"]


def test_a_fold_without_validation_says_so(prepared, tmp_path):
    table = pd.read_parquet(prepared / "dataset.parquet")
    table["role:fold0"] = "train"
    table.to_parquet(tmp_path / "dataset.parquet")
    with pytest.raises(InputError, match="none of the 12 labelled images has the role 'val'"):
        train_model(stage("train"), tmp_path / "dataset.parquet", prepared / "shards", "fold0", tmp_path)
