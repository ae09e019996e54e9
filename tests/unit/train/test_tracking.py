import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from segpipe.errors import ConfigError
from segpipe.train.callbacks import open_trackers
from segpipe.train.checkpoints import Checkpoints
from segpipe.train.stage import train_model
from tests.unit.prepared import stage

ROWS = [{"epoch": n, "learning_rate": 0.1 / n, "loss": 1.0 / n, "val_miou": 1 - 0.5 / n} for n in range(1, 6)]


def write(folder, rows, preview=None, **changes):
    trackers = open_trackers(stage("train", **changes), "fold0", folder)
    for row in rows:
        trackers.epoch(row, preview)
    trackers.close()


def curves(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    return reader


def test_tensorboard_reads_every_number_of_an_epoch(tmp_path):
    write(tmp_path, ROWS)
    reader = curves(tmp_path)
    assert reader.Tags()["scalars"] == [
        "training/learning_rate",
        "training/loss",
        "training/val_miou",
        "training/epoch_seconds",
    ]
    events = reader.Scalars("training/val_miou")
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
    assert [event.value for event in events] == pytest.approx([row["val_miou"] for row in ROWS])


def test_tensorboard_shows_the_previews(tmp_path):
    picture = tmp_path / "epoch-0002.png"
    cv2.imwrite(str(picture), np.full((4, 6, 3), 90, np.uint8))
    write(tmp_path, ROWS[:2], picture)
    shown = curves(tmp_path).Images("preview")
    assert [image.step for image in shown] == [1, 2]
    assert shown[0].encoded_image_string == picture.read_bytes()


@pytest.mark.parametrize("resumed_at", [3, 4])  # 3: the stopped training had already told of this epoch
def test_a_resumed_training_leaves_each_epoch_once(tmp_path, resumed_at):
    trackers = open_trackers(stage("train"), "fold0", tmp_path)
    for row in ROWS[:3]:
        trackers.epoch(row, None)  # killed: nothing is closed
    write(tmp_path, ROWS[resumed_at - 1 :])
    assert [event.step for event in curves(tmp_path).Scalars("training/loss")] == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_a_new_training_in_an_old_folder_leaves_nothing_of_the_old_curves(tmp_path):
    write(tmp_path, ROWS)
    write(tmp_path, ROWS[:2])
    assert [event.step for event in curves(tmp_path).Scalars("training/loss")] == [1, 2]
    assert [path.name for path in (tmp_path / "tensorboard").iterdir()] == ["events.out.tfevents.0000000001.segpipe"]


def test_tensorboard_can_be_left_out(tmp_path):
    write(tmp_path, ROWS, tensorboard=False)
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_installed_a_line_says_so_and_training_goes_on(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="segpipe")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    write(tmp_path, ROWS)
    assert "not installed: pip install 'segpipe[tracking]'" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_fails_is_left_out_with_one_warning(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    write(tmp_path, ROWS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "TensorBoardFile failed" in caplog.text


class Client:
    """A store in memory, with the calls of MLflow's client."""

    runs: ClassVar[dict] = {}

    def __init__(self, tracking_uri):
        if "down" in tracking_uri:
            raise OSError(f"cannot reach {tracking_uri}")

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "1"

    def create_run(self, experiment, run_name):
        key = f"run{len(self.runs)}"
        self.runs[key] = {"name": run_name, "params": {}, "metrics": [], "status": "RUNNING"}
        return SimpleNamespace(info=SimpleNamespace(run_id=key))

    def log_param(self, run, name, value):
        self.runs[run]["params"][name] = value

    def log_metric(self, run, name, value, step):
        self.runs[run]["metrics"].append((name, step, value))

    def get_metric_history(self, run, name):
        return [SimpleNamespace(step=step) for key, step, _ in self.runs[run]["metrics"] if key == name]

    def set_terminated(self, run):
        self.runs[run]["status"] = "FINISHED"


@pytest.fixture
def mlflow(monkeypatch):
    module = ModuleType("mlflow.tracking")
    module.MlflowClient = Client
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", module)
    monkeypatch.setattr(Client, "runs", {})
    return Client.runs


def test_mlflow_gets_settings_and_curves_but_no_paths_and_no_secrets(tmp_path, mlflow):
    output = tmp_path / "results/montgomery/models/fold0"
    uri = "http://user:secret@127.0.0.1:5000"
    plain = stage("train", mlflow=uri, tensorboard=False)
    model = plain.model.model_copy(update={"init": tmp_path / "patients/old-model"})
    trackers = open_trackers(plain.model_copy(update={"model": model}), "fold0", output)
    for row in ROWS:
        trackers.epoch(row, None)
    trackers.close()
    run = mlflow["run0"]
    assert run["name"] == "montgomery/fold0"
    assert run["status"] == "FINISHED"
    assert [step for name, step, _ in run["metrics"] if name == "loss"] == [1, 2, 3, 4, 5]
    assert run["params"]["train.epochs"] == "3"
    assert run["params"]["model.init"] == "old-model"
    assert run["params"]["classes"] == "lung,heart"
    text = str(run)
    assert str(tmp_path) not in text
    assert "secret" not in text


def test_a_resumed_training_goes_on_with_its_mlflow_run_and_a_new_one_starts_another(tmp_path, mlflow):
    trackers = open_trackers(stage("train", mlflow="sqlite:///x"), "fold0", tmp_path)
    for row in ROWS[:3]:
        trackers.epoch(row, None)
    write(tmp_path, ROWS[2:], mlflow="sqlite:///x")
    assert list(mlflow) == ["run0"]
    assert [step for name, step, _ in mlflow["run0"]["metrics"] if name == "val_miou"] == [1, 2, 3, 4, 5]
    write(tmp_path, ROWS, mlflow="sqlite:///x")
    assert list(mlflow) == ["run0", "run1"]


def test_mlflow_that_was_asked_for_and_cannot_be_used_is_an_error_before_training(tmp_path, mlflow, monkeypatch):
    with pytest.raises(ConfigError, match=r"the store cannot be used \(OSError: cannot reach URI\)"):
        write(tmp_path, ROWS, mlflow="http://user:secret@down")
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(ConfigError, match=r"pip install 'segpipe\[mlflow\]'"):
        write(tmp_path, ROWS, mlflow="http://127.0.0.1:5000")


def test_the_warning_of_a_server_that_fails_later_tells_no_password(tmp_path, mlflow, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError("API request to http://user:secret@127.0.0.1:5000/api/2.0/mlflow failed")

    monkeypatch.setattr(Client, "log_metric", fail)
    write(tmp_path, ROWS, mlflow="http://user:secret@127.0.0.1:5000", tensorboard=False)
    assert "API request to http://127.0.0.1:5000/api/2.0/mlflow failed" in caplog.text
    assert "secret" not in caplog.text


def test_finished_training_needs_no_server_to_write_its_outputs_again(prepared, tmp_path, mlflow):
    where = (prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path)
    train_model(stage("train", epochs=1), *where)
    (tmp_path / "model.safetensors").unlink()
    train_model(stage("train", epochs=1, mlflow="http://down"), *where)
    assert (tmp_path / "model.safetensors").exists()
    with pytest.raises(ConfigError, match="the store cannot be used"):
        train_model(stage("train", epochs=2, mlflow="http://down"), *where)


def test_training_tells_of_every_epoch_once_also_when_it_was_killed_and_goes_on(prepared, tmp_path, monkeypatch):
    real = Checkpoints.save

    def die(checkpoints, state):
        if state.epoch == 2:
            raise KeyboardInterrupt  # told, but not saved: epoch 2 will be repeated
        real(checkpoints, state)

    monkeypatch.setattr(Checkpoints, "save", die)
    where = (prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_model(stage("train", preview_every=1), *where)
    monkeypatch.setattr(Checkpoints, "save", real)
    train_model(stage("train", preview_every=1), *where)
    reader = curves(tmp_path)
    assert [event.step for event in reader.Scalars("training/loss")] == [1, 2, 3]
    assert [event.step for event in reader.Images("preview")] == [1, 2, 3]
    history = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    assert [event.value for event in reader.Scalars("training/loss")] == pytest.approx(
        [float(row[2]) for row in history]
    )
