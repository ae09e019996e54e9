"""Workers that hang, crash, eat memory and outlive their welcome."""

import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segpipe.errors import ConfigError
from segpipe.log import logger
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from tests.conftest import PROJECT

LIMITS = Limits(cpu_seconds=1)
SECRET = "PHICANARY"


def worker(name="worker"):
    """What the tests' workers do with an item: as it says."""
    seen = []

    def work(item):
        seen.append(item)
        match item:
            case "spin":
                while True:
                    pass
            case "crash":
                ctypes.string_at(0)
            case "crash later":
                if len(seen) > 1:
                    os.kill(os.getpid(), signal.SIGSEGV)
            case "abort":
                os.abort()
            case "exit":
                os._exit(3)
            case "greedy":
                return np.ones(2**30, np.uint8).sum()
            case "raise":
                raise ValueError(SECRET)
            case "panic":
                raise GeneratorExit(SECRET)
            case "print":
                os.write(1, SECRET.encode())
                os.write(2, SECRET.encode())
            case "log":
                logger.warning("the %s of %s", "log", name)
            case "limits":
                return resource.getrlimit(resource.RLIMIT_CORE)[0], signal.getsignal(signal.SIGINT)
            case int(seconds):
                time.sleep(seconds / 1000)
        return item, os.getpid()

    return work


def refusing():
    raise ConfigError("preprocess.transforms: no such transform")


def broken():
    raise OSError("cannot load library")


def results(items, limits=LIMITS, **options):
    with isolated_map(worker, (), items, limits, **options) as found:
        return list(found)


def test_results_come_in_order_whatever_the_number_of_workers():
    items = [30, 0, 20, 10, 0, 0, 5, 0, 1, 2, 3]
    for workers in (1, 3):
        found = results(items, workers=workers)
        assert [item for item, _ in found] == items
        assert len({process for _, process in found}) == workers
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("spin", "took more than 1 s of CPU time to read (data.seconds_per_image)"),
        ("crash", "crashed its decoder (signal 11)"),
        ("abort", "crashed its decoder (signal 6)"),
        ("exit", "crashed its decoder (exit code 3)"),
        ("raise", "made segpipe fail (ValueError)"),
        ("panic", "made segpipe fail (GeneratorExit)"),
    ],
)
def test_a_bad_item_costs_its_own_result(item, says):
    first, bad, last = results(["first", item, "last"])
    assert (first[0], last[0]) == ("first", "last")
    assert isinstance(bad, ItemFailure)
    assert bad.reason.startswith(says)
    assert SECRET not in bad.reason


def test_many_crashes_in_a_row_end():
    found = results(["crash"] * 12 + ["last"], workers=2)
    assert [isinstance(result, ItemFailure) for result in found] == [True] * 12 + [False]


def test_a_worker_that_an_earlier_item_damaged_is_not_held_against_the_later():
    found = results(["first", "crash later", "last"])
    assert [item for item, _ in found] == ["first", "crash later", "last"]


def test_more_memory_than_granted_is_refused_by_the_system():
    granted, greedy, last = results(["a", "greedy", "last"], Limits(20, memory_bytes=2**28))
    assert isinstance(greedy, ItemFailure)
    assert "MemoryError" in greedy.reason
    assert last[1] == granted[1], "the same worker goes on"


def test_what_waits_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(Limits, "wall_seconds", 0.5)
    asleep, last = results([60_000, "last"])
    assert "was not read within" in asleep.reason
    assert last[0] == "last"


def test_a_slow_caller_is_no_reason_to_give_up(monkeypatch):
    monkeypatch.setattr(Limits, "wall_seconds", 0.5)
    with isolated_map(worker, (), range(4), LIMITS) as found:
        for number, (item, _) in enumerate(found):
            time.sleep(0.6)
            assert item == number


def test_log_lines_of_a_worker_come_out_here_once(monkeypatch):
    lines = []

    class Collector(logging.Handler):
        def emit(self, record):
            lines.append((record.levelno, record.getMessage()))

    monkeypatch.setattr(logger, "handlers", [Collector()])
    monkeypatch.setattr(logger, "level", logging.INFO)
    with isolated_map(worker, ("100 % done",), ["log", "raise"], LIMITS) as found:
        assert len(list(found)) == 2
    assert lines[0] == (logging.WARNING, "the log of 100 % done")
    assert len(lines) == 2
    assert lines[1][1].startswith("unforeseen ValueError:")
    assert SECRET not in lines[1][1]


def test_what_decoders_print_reaches_nobody(capfd):
    assert results(["print"])[0][0] == "print"
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_workers_leave_no_core_dump_and_ignore_the_terminals_interrupt():
    assert results(["limits"]) == [(0, signal.SIG_IGN)]


def test_an_error_of_the_preparation_ends_the_work():
    with pytest.raises(ConfigError, match="no such transform"), isolated_map(refusing, (), [1], LIMITS) as found:
        list(found)
    with pytest.raises(RuntimeError, match="cannot load library"), isolated_map(broken, (), [1], LIMITS) as found:
        list(found)


def test_nothing_to_do_starts_nothing():
    with isolated_map(refusing, (), [], LIMITS) as found:
        assert list(found) == []


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_workers_end_with_the_block():
    with isolated_map(worker, (), ["first", "spin", "spin"], Limits(60)) as found:
        _, process = next(found)
        assert alive(process)
    assert wait_for(lambda: not alive(process))


CALLER = """
from pathlib import Path
from segpipe.pool.isolated import Limits, isolated_map
from tests.unit.pool.test_isolated import worker
with isolated_map(worker, (), ["first", "spin"], Limits(60)) as found:
    print(next(found)[1], flush=True)
    next(found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems a busy worker ends at its CPU limit")
def test_a_busy_worker_ends_with_a_caller_that_was_killed():
    caller = subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert caller.stdout is not None
    process = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert wait_for(lambda: not alive(process))


def test_a_module_in_the_working_folder_is_not_taken_for_a_library(tmp_path: Path):
    (tmp_path / "resource.py").write_text("raise SystemExit('taken')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('taken')")
    code = CALLER.replace('"spin"', '"last"')
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
