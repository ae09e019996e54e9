import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from segpipe.files.lock import Lock
from segpipe.train import scratch
from segpipe.train.scratch import nearby
from segpipe.train.stage import train_model
from tests.unit.prepared import stage

SHARDS = ["0000", "0001"]
JOB = """
import sys, time
from pathlib import Path
from segpipe.log import set_up_logging
from segpipe.train.scratch import nearby
set_up_logging(None)
with nearby(Path(sys.argv[1]), ["0000", "0001"], sys.argv[2]) as stores:
    print(stores, flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def node(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def stores(prepared, tmp_path):
    return shutil.copytree(prepared / "shards", tmp_path / "shards")


def start(stores, node, seconds):
    arguments = [sys.executable, "-c", JOB, str(stores), str(node), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left(node):
    return sorted(path.name for path in scratch.place_in(node).iterdir())


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_model_trained_from_scratch_is_the_same_to_the_byte(prepared, node, tmp_path, caplog):
    arguments = stage("train", epochs=1), prepared / "dataset.parquet", prepared / "shards", "fold0"
    train_model(*arguments, tmp_path / "plain")
    with caplog.at_level(logging.INFO, "segpipe"):
        train_model(*arguments, tmp_path / "near", scratch=str(node))
    for name in ("model.safetensors", "model.json", "history.csv", "training.csv"):
        assert (tmp_path / "near" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
    assert f"reads 2 shards from {node}" in caplog.text
    assert left(node) == []


def test_without_scratch_the_stores_are_read_themselves(stores):
    with nearby(stores, SHARDS, None) as found:
        assert found == stores


def test_a_variable_in_the_folders_name_is_that_of_the_node(stores, node, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(node))
    with nearby(stores, SHARDS, "$NODE_DISK") as found:
        assert node in found.parents
        assert contents(found) == contents(stores)


def test_several_trainings_share_one_copy_and_the_last_removes_it(stores, node):
    jobs = [start(stores, node, 1.0), start(stores, node, 2.0)]
    said = [job.communicate(timeout=60) for job in jobs]
    assert said[0][0] == said[1][0]
    assert sorted("MB were copied to" in errors for _, errors in said) == [False, True]
    assert sorted("where they were already" in errors for _, errors in said) == [False, True]
    assert left(node) == []


def test_only_the_shards_that_are_read_are_copied(stores, node):
    with nearby(stores, ["0001", "0001"], str(node)) as found:
        assert [path.name for path in found.iterdir()] == ["0001"]


def test_what_a_killed_training_left_is_removed_by_the_next(stores, node, caplog):
    job = start(stores, node, 60)
    copy = job.stdout.readline().strip()
    job.send_signal(signal.SIGKILL)
    job.communicate()
    (stores / "0000/table.parquet").touch()  # another stamp: another copy
    with caplog.at_level(logging.INFO, "segpipe"), nearby(stores, SHARDS, str(node)) as found:
        assert str(found) != copy
        assert left(node) == [found.name, f"{found.name}.copying", f"{found.name}.users"]
    assert f"removes {copy}, which a killed training left" in caplog.text


def test_a_copy_of_another_node_is_left_alone(stores, node, monkeypatch):
    """On a shared file system whose locks end at the node, nobody here can tell that it is in use."""
    monkeypatch.setattr(scratch.socket, "gethostname", lambda: "node2")
    with nearby(stores, SHARDS, str(node)) as theirs:
        locks = list(theirs.parent.glob("*.users"))
        for lock in locks:
            lock.rename(lock.with_suffix(".hidden"))
            lock.touch()  # a lock that is not seen from here
        monkeypatch.setattr(scratch.socket, "gethostname", lambda: "node3")
        with nearby(stores, SHARDS, str(node)) as ours:
            assert ours != theirs
        assert contents(theirs) == contents(stores)


def test_a_copy_in_use_is_not_removed(stores, node):
    with nearby(stores, SHARDS, str(node)) as first, nearby(stores, ["0000"], str(node)) as second:
        assert first != second
        assert contents(first) == contents(stores)


def test_half_a_copy_is_never_used(stores, node, monkeypatch):
    """Killed between two files, while another training waits for the copy."""
    folder = scratch.place_in(node) / scratch._key(stores, SHARDS)
    (folder / "0000.part").mkdir(parents=True, mode=0o700)
    folder.parents[1].chmod(0o700)
    (folder / "0000.part/images.npy").write_bytes(b"half")
    waiting = Lock(folder.with_suffix(".users"))
    assert waiting.take(shared=True), "so that the folder is not swept away"
    with nearby(stores, SHARDS, str(node)) as found:
        assert found == folder
        assert contents(found) == contents(stores)
    waiting.release()


@pytest.mark.parametrize("problem", ["space", "full", "missing"])
def test_where_it_cannot_be_copied_the_stores_are_read_with_a_warning(stores, node, monkeypatch, caplog, problem):
    if problem == "space":
        usage = shutil.disk_usage(node)
        monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: usage._replace(free=int(usage.total * 0.05) + 1000))
        why = r"is not used: the shards take 0.1 MB, and 0.0 MB may be used there"
    elif problem == "full":

        def fill_up(_, target):
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(scratch.shutil, "copyfile", fill_up)
        why = "No space left on device"
    else:
        node.rmdir()
        why = "cannot be made (No such file or directory)"
    with nearby(stores, SHARDS, str(node)) as found:
        assert found == stores
    assert why in caplog.text
    assert "Training reads from" in caplog.text
    assert problem == "missing" or left(node) == []


def test_stores_that_change_meanwhile_are_not_mixed(stores, node, monkeypatch, caplog):
    real = shutil.copyfile

    def change(source, target):
        real(source, target)
        os.utime(source)

    monkeypatch.setattr(scratch.shutil, "copyfile", change)
    with nearby(stores, SHARDS, str(node)) as found:
        assert found == stores
    assert "changed while it was copied" in caplog.text


def test_an_error_of_the_training_passes_through_and_leaves_nothing(stores, node):
    with pytest.raises(KeyboardInterrupt), nearby(stores, SHARDS, str(node)):
        raise KeyboardInterrupt
    assert left(node) == []


def test_waiting_for_a_copy_says_so(stores, node, monkeypatch, caplog):
    monkeypatch.setattr(scratch, "SECONDS_BETWEEN_LINES", 0.0)
    other, begun = Lock(node / "lock"), time.monotonic()
    other.take()
    monkeypatch.setattr(scratch.time, "sleep", lambda _: other.release())
    with caplog.at_level(logging.INFO, "segpipe"):
        mine = Lock(node / "lock")
        scratch._wait(mine, "for another training that copies the shards")
    mine.release()
    assert "waiting for another training that copies the shards" in caplog.text
    assert time.monotonic() - begun < 5
