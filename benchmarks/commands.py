"""A command as a contestant: seconds and memory of it with all the processes that it starts."""

import contextlib
import ctypes
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


@dataclass(frozen=True)
class Cost:
    """What a command took; memory in MiB, 0 where it was not watched."""

    wall: float
    cpu: float
    resident: float = 0.0  # of the largest process, with its pages of mapped files
    anonymous: float = 0.0  # of all processes together: what they really need

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other."""
        peaks = max(self.resident, other.resident), max(self.anonymous, other.anonymous)
        return Cost(self.wall + other.wall, self.cpu + other.cpu, *peaks)


def adopt_orphans() -> None:
    """Let what commands leave behind become children of this process, so that its CPU time is counted, too."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def run(
    command: Sequence[object], folder: Path, watch: float = 0.0, environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command in ``folder`` until all its processes have ended; look at their memory every ``watch`` seconds.

    Looking costs CPU time of this process, on the same cores: where seconds count, don't.
    """
    log, resident, anonymous = folder / "log.txt", 0.0, 0.0
    before, started = _children_cpu(), time.perf_counter()
    with log.open("w") as output:
        options = {"cwd": folder, "stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen(
            [str(part) for part in command], env={**os.environ, **(environment or {})}, **options
        )
        while watch and process.poll() is None:
            tree = processes(process.pid)
            anonymous = max(anonymous, sum(status(pid, "RssAnon") for pid in tree))
            resident = max([resident, *(status(pid, "VmHWM") for pid in tree)])
            time.sleep(watch)
        code = process.wait()
    wall = time.perf_counter() - started
    _reap()
    if code:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{log.read_text()[-3000:]}")
    return Cost(wall, _children_cpu() - before, resident, anonymous)


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [each for child in task.read_text().split() for each in processes(int(child))]
    return found


def status(pid: int, key: str) -> float:
    """A figure of a process in MiB; 0 where it has ended, or the system is not Linux."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap(seconds: float = 120.0) -> None:
    """Wait for orphans: helpers of `multiprocessing` end soon after their parent."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return
