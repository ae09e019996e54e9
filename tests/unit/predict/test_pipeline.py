"""A shard through the pipeline: what fails names its picture, little waits, and a kill costs what was in hand."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from segpipe.config import Predict
from segpipe.errors import DiskFullError, InterruptedRun
from segpipe.masks.encode import Layout
from segpipe.masks.store import MaskReader, MaskStore
from segpipe.predict import shard as shard_module
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.shard import predict_shard
from segpipe.preprocess.geometry import Geometry, at_original_size
from segpipe.preprocess.store import open_store
from tests.conftest import PROJECT
from tests.unit.model_files import write_model
from tests.unit.prepared import stage

KINDS = ("files", "rle")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    wanted = stage("predict")
    folder = tmp_path_factory.mktemp("model") / "fold0"
    return write_model(folder, classes=wanted.classes, preprocess=wanted.preprocess)


def predict(prepared, model, output, threads=1, **changes):
    settings = {"engine": "torch", "batch_size": 2, **changes}
    wanted = stage("predict").model_copy(update={"predict": Predict(**settings)})
    predict_shard(
        wanted, prepared / "shards/0000", [model], None, output / "masks/0000", output / "predictions/0000.parquet",
        threads,
    )  # fmt: skip
    return pd.read_parquet(output / "predictions/0000.parquet")


def contents(output):
    files = sorted(path for path in output.rglob("*") if path.is_file())
    return {path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_and_the_batch_change_no_byte(prepared, model, tmp_path, kind):
    predict(prepared, model, tmp_path / "one", masks=kind)
    predict(prepared, model, tmp_path / "two", threads=2, masks=kind)
    predict(prepared, model, tmp_path / "many", threads=5, masks=kind, batch_size=5)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_every_kind_holds_the_same_masks_and_the_table_says_how(prepared, model, tmp_path):
    found = {}
    for kind in KINDS:
        table = predict(prepared, model, tmp_path / kind, masks=kind)
        assert set(table["masks"]) == {kind}
        assert table["engine"].str.fullmatch(r"torch \S+ float32").all()
        assert (table["parity"] == 0).all()
        with MaskReader.of_shard(tmp_path / kind / "masks/0000", table, stage("predict").classes) as reader:
            found[kind] = [reader.masks(image_id) for image_id in table["image_id"]]
    for one, other in zip(found["files"], found["rle"], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("probabilities", ["none", "uint8"])
def test_another_kind_of_store_leaves_nothing_of_the_old(prepared, model, tmp_path, probabilities):
    for kind in KINDS:
        predict(prepared, model, tmp_path / kind, masks=kind, probabilities=probabilities)
    for kind in ("files", "rle", "files"):
        predict(prepared, model, tmp_path / "moved", masks=kind, probabilities=probabilities)
        assert contents(tmp_path / "moved") == contents(tmp_path / kind)


@pytest.mark.parametrize("probabilities", ["uint8", "float16"])
def test_kept_probabilities_give_the_mask_again(prepared, model, tmp_path, probabilities):
    table = predict(prepared, model, tmp_path, probabilities=probabilities)
    facts = open_store(prepared / "shards/0000").table
    with MaskReader.of_shard(tmp_path / "masks/0000", table, stage("predict").classes) as reader:
        for _, row in facts.iterrows():
            whole = at_original_size(reader.probabilities(row["image_id"]), Geometry.of_row(row.to_dict()))
            mask = reader.masks(row["image_id"])
            assert whole.shape == mask.shape
            sure = np.abs(whole - 0.5) > 1 / 255
            np.testing.assert_array_equal((whole >= 0.5)[sure], mask[sure])


def test_a_writer_that_fails_names_the_image(prepared, model, tmp_path, monkeypatch):
    encode = Layout.encode

    def fail_on_i04(self, image_id, *rest):
        if image_id == "i04":
            raise ZeroDivisionError("broken")
        return encode(self, image_id, *rest)

    monkeypatch.setattr(shard_module.Predictor, "_path", lambda self, index: f"images/{self._id(index)}.png")
    monkeypatch.setattr(Layout, "encode", fail_on_i04)
    with pytest.raises(ZeroDivisionError) as found:
        predict(prepared, model, tmp_path)
    text = "".join(traceback.format_exception(found.value))
    assert "while the masks of images/i04.png were made and written" in text
    assert "in fail_on_i04" in text
    assert (tmp_path / "masks/0000/i00.lung.png").exists()
    monkeypatch.setattr(Layout, "encode", encode)
    predict(prepared, model, tmp_path)
    predict(prepared, model, tmp_path / "whole")
    assert contents(tmp_path / "masks") == contents(tmp_path / "whole/masks")


def test_a_full_disk_is_told_as_such(prepared, model, tmp_path, monkeypatch):
    def fail(*_):
        raise DiskFullError("no room")

    monkeypatch.setattr(MaskStore, "save", fail)
    with pytest.raises(DiskFullError, match="no room"):
        predict(prepared, model, tmp_path)


def test_a_network_that_fails_names_the_pictures_and_what_is_finished_stays(prepared, model, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_module.Predictor, "_path", lambda self, index: f"images/{self._id(index)}.png")
    calls, probabilities = [], Ensemble.probabilities

    def fail_second(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("no arithmetic today")
        return probabilities(self, *arguments)

    monkeypatch.setattr(Ensemble, "probabilities", fail_second)
    with pytest.raises(ValueError, match="no arithmetic") as found:
        predict(prepared, model, tmp_path)
    assert "while predicting images/i04.png, images/i06.png" in "".join(traceback.format_exception(found.value))
    again = []
    monkeypatch.setattr(Ensemble, "probabilities", lambda *a: again.append(len(a[1])) or probabilities(*a))
    predict(prepared, model, tmp_path)
    assert sum(again) == 4, "those that the network had given were kept"


def test_a_signal_stops_it_with_everything_finished_kept(prepared, model, tmp_path, monkeypatch):
    probabilities, calls = Ensemble.probabilities, []

    def stop_at_third(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedRun("stopped", 75)
        return probabilities(self, *arguments)

    monkeypatch.setattr(Ensemble, "probabilities", stop_at_third)
    with pytest.raises(InterruptedRun):
        predict(prepared, model, tmp_path, masks="rle")
    assert not [thread for thread in threading.enumerate() if thread.name == "reads ahead"]
    assert not (tmp_path / "masks/0000/masks.parquet").exists()
    monkeypatch.setattr(Ensemble, "probabilities", probabilities)
    predict(prepared, model, tmp_path, masks="rle")
    predict(prepared, model, tmp_path / "whole", masks="rle")
    assert contents(tmp_path / "masks") == contents(tmp_path / "whole/masks")


def test_few_pictures_are_in_flight_however_slow_the_writers_are(prepared, model, tmp_path, monkeypatch):
    made, written, most, lock = [0], [0], [0], threading.Lock()
    picture, commit = shard_module.Predictor._picture, MaskStore.commit

    def count_made(self, *arguments):
        with lock:
            made[0] += 1
            most[0] = max(most[0], made[0] - written[0])
        return picture(self, *arguments)

    def count_written(self, *arguments):
        commit(self, *arguments)
        with lock:
            written[0] += 1

    monkeypatch.setattr(shard_module.Predictor, "_picture", count_made)
    monkeypatch.setattr(MaskStore, "commit", count_written)
    monkeypatch.setattr(shard_module, "BATCHES_AHEAD", 1)
    predict(prepared, model, tmp_path, batch_size=1)
    assert made == written == [6]
    room = 1 + 2 * 1
    assert most[0] <= room + 1 + 1 + 1, "in the writers, in the network, waiting, and being read"


KILLED = """
import os, signal, sys
from pathlib import Path
from segpipe.config import Predict
from segpipe.masks.store import MaskStore
from tests.unit.predict import test_pipeline as tests

prepared, model, output = map(Path, sys.argv[1:])
commit, done = MaskStore.commit, []

def commit_two(self, *arguments):
    commit(self, *arguments)
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

MaskStore.commit = commit_two
for kind in tests.KINDS:  # torch was imported and has computed nothing, so that its threads are not lost
    child = os.fork()
    if not child:
        tests.predict(prepared, model, output / kind, masks=kind, probabilities="uint8")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_and_started_again_every_kind_has_the_same_bytes(prepared, model, tmp_path, monkeypatch):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    arguments = [sys.executable, "-c", KILLED, str(prepared), str(model), str(tmp_path)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * 2, done.stderr
    seen, probabilities = [], Ensemble.probabilities
    monkeypatch.setattr(Ensemble, "probabilities", lambda *a: seen.append(len(a[1])) or probabilities(*a))
    for kind in KINDS:
        assert (tmp_path / kind / "masks/0000/journal.csv").read_text().count("\n") == 2
        predict(prepared, model, tmp_path / kind, masks=kind, probabilities="uint8")
        assert sum(seen) == 4, "two were finished"
        seen.clear()
        predict(prepared, model, tmp_path / "whole" / kind, masks=kind, probabilities="uint8")
        seen.clear()
        assert contents(tmp_path / kind) == contents(tmp_path / "whole" / kind)


def test_masks_that_cannot_fit_are_refused_before_anything_is_predicted(prepared, model, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    monkeypatch.setattr(Ensemble, "probabilities", lambda *_: pytest.fail("predicted"))
    with pytest.raises(DiskFullError, match=r"new masks of shard 0000 need about .* and 1\.0 MB are free"):
        predict(prepared, model, tmp_path)
