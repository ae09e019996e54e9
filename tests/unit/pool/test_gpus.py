import logging
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from segpipe.errors import ConfigError, InputError
from segpipe.pool import gpus as slots
from segpipe.pool.gpus import GIVEN, VISIBLE, take_gpus

JOB = """
import os, sys, time, logging
from segpipe.pool.gpus import take_gpus
from segpipe.log import set_up_logging
set_up_logging(None)
taken = take_gpus("auto", int(sys.argv[2]), lambda: ["GPU-a", "GPU-b"])
with open(sys.argv[1], "a") as file:
    for device in taken:
        file.write(f"{time.monotonic()} take {device} {os.environ['CUDA_VISIBLE_DEVICES']}\\n")
    file.flush()
    time.sleep(float(sys.argv[3]))
    for device in taken:
        file.write(f"{time.monotonic()} give {device}\\n")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A temporary folder of its own, and no device chosen."""
    for name in (*GIVEN, VISIBLE, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")  # put back after the test, whatever it sets
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(slots, "_held", [])
    monkeypatch.setattr(slots, "_folders", [])
    yield tmp_path
    for lock in slots._held:
        lock.release()
    for descriptor in slots._folders:
        os.close(descriptor)
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def start(place, count=1, seconds=0.5):
    arguments = [sys.executable, "-c", JOB, str(place / "events"), str(count), str(seconds)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def events(place):
    return sorted(line.split() for line in (place / "events").read_text().splitlines())


def wait_for_lines(path, count):
    deadline = time.monotonic() + 30
    while (not path.exists() or len(path.read_text().splitlines()) < count) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_three_jobs_on_two_devices_are_never_two_on_one(place):
    jobs = [start(place) for _ in range(3)]
    said = [job.communicate(timeout=60)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0]
    busy, most = {}, 0
    for _, what, device, *visible in events(place):
        assert busy.get(device, 0) == (what == "give"), "two jobs on one device"
        assert what == "give" or visible == [device]
        busy[device] = int(what == "take")
        most = max(most, sum(busy.values()))
    assert most == 2, "both devices are used"
    assert sum("waiting for 1 of 2 GPUs: other jobs have them (process" in text for text in said) == 1
    assert all("GPU of this job: GPU-" in text for text in said)


def test_a_killed_job_leaves_its_device_to_the_next(place):
    first, second = start(place, seconds=60), start(place, seconds=60)
    wait_for_lines(place / "events", 2)
    killed = events(place)[0][2]
    third = start(place)
    time.sleep(0.5)
    assert len(events(place)) == 2, "the third waits"
    holder = (place / f"segpipe-{os.getuid()}" / f"gpu-{killed}.lock").read_text()
    job = first if holder == f"process {first.pid}" else second
    job.send_signal(signal.SIGKILL)
    try:
        assert third.wait(30) == 0
        assert events(place)[2][1:3] == ["take", killed]
    finally:
        for job in (first, second):
            job.kill()
        for job in (first, second, third):
            job.communicate()


def test_jobs_of_two_devices_each_do_not_wait_for_each_other_for_ever(place):
    jobs = [start(place, count=2, seconds=0.2) for _ in range(3)]
    for job in jobs:
        job.communicate(timeout=60)
    assert [event[1] for event in events(place)] == ["take", "take", "give", "give"] * 3
    assert events(place)[0][3] == "GPU-a,GPU-b"


@pytest.mark.parametrize("variable", [*GIVEN, VISIBLE])
def test_who_has_chosen_already_is_left_alone(place, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert take_gpus("cuda", 1, lambda: ["GPU-a"]) == []
    assert not list(place.iterdir())


def test_several_visible_devices_are_shared_out_under_their_uuids(place, monkeypatch):
    """CUDA_VISIBLE_DEVICES=1,2 leaves the others of a lab's machine to other people."""
    devices = ["GPU-a", "GPU-b", "GPU-c"]
    monkeypatch.setenv(VISIBLE, "1, 2")
    assert take_gpus("auto", 1, lambda: devices) == ["GPU-b"]
    monkeypatch.setenv(VISIBLE, "1,2")
    assert take_gpus("auto", 1, lambda: devices) == ["GPU-c"]
    assert os.environ[VISIBLE] == "GPU-c"
    monkeypatch.setenv(VISIBLE, "GPU-a,GPU-b")
    assert take_gpus("auto", 1, lambda: devices) == ["GPU-a"]


@pytest.mark.parametrize("value", ["", "-1", "0,1"])
def test_no_visible_devices_or_as_many_as_wanted_are_the_users_choice(place, monkeypatch, value):
    monkeypatch.setenv(VISIBLE, value)
    assert take_gpus("auto", 2, lambda: ["GPU-a", "GPU-b", "GPU-c"]) == []
    assert os.environ[VISIBLE] == value


def test_numbers_are_left_as_they_are_where_a_gpu_is_divided(place, monkeypatch):
    monkeypatch.setenv(VISIBLE, "0,1")
    assert take_gpus("auto", 1, lambda: ["MIG-a", "MIG-b", "GPU-c"]) == ["0"]


def test_nothing_happens_on_a_cpu_or_where_there_is_no_gpu(place):
    assert take_gpus("cpu", 1, lambda: ["GPU-a"]) == []
    assert take_gpus("auto", 1, list) == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_the_device_is_set_for_cuda_and_named_in_the_log(place, caplog):
    with caplog.at_level(logging.INFO, "segpipe"):
        assert take_gpus("cuda", 1, lambda: ["0", "1"]) == ["0"]
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("0", "PCI_BUS_ID")
    assert "GPU of this job: 0 (of 2 here)" in caplog.text


def test_more_devices_than_there_are_is_an_error_and_no_wait(place):
    with pytest.raises(ConfigError, match="wants 3 GPUs, but this machine has 2"):
        take_gpus("auto", 3, lambda: ["0", "1"])


def test_waiting_says_so_every_minute(place, monkeypatch, caplog):
    take_gpus("auto", 1, lambda: ["GPU-a"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    looks = []

    def look(_):
        looks.append(None)
        if len(looks) == 3:
            slots._held.pop().release()

    monkeypatch.setattr(slots.time, "sleep", look)
    monkeypatch.setattr(slots, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "segpipe"):
        assert take_gpus("auto", 1, lambda: ["GPU-a"]) == ["GPU-a"]
    assert caplog.text.count(f"waiting for 1 of 1 GPUs: other jobs have them (process {os.getpid()})") == 3


def test_a_folder_that_others_could_have_made_is_refused(place):
    mine = place / f"segpipe-{os.getuid()}"
    mine.mkdir(mode=0o777)
    mine.chmod(0o777)
    with pytest.raises(InputError, match="has mode 0777, which lets others in"):
        take_gpus("auto", 1, lambda: ["0"])
    mine.rmdir()
    mine.symlink_to(place / "elsewhere")
    (place / "elsewhere").mkdir()
    with pytest.raises(InputError, match="is a symbolic link"):
        take_gpus("auto", 1, lambda: ["0"])
