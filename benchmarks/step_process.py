"""A contestant of train_step.py in a process of its own: rounds on demand, and the memory that it took."""

import contextlib
import itertools
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from harness import cpu_seconds
from step_peers import Contestant


@dataclass(frozen=True)
class Cost:
    """Seconds per step."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Round:
    """The same number of steps on one fixed batch and on real ones, one after the other."""

    bare: Cost
    fed: Cost


class Runner:
    """The parent's side."""

    def __init__(self, name: str, make: Callable[[], Contestant], steps: int, cuda: bool, log: Path) -> None:
        self.name, self.log, context = name, log, get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, steps, cuda, log))
        self._process.start()
        self.facts: dict[str, Any] = self._answer()
        self.rounds: list[Round] = []
        self.round(0)  # warms up
        self.rounds.clear()

    def round(self, number: int) -> None:
        """One more round."""
        self._connection.send(number)
        self.rounds.append(self._answer())

    def close(self) -> float:
        """End the process; its peak memory in MiB."""
        self._connection.send(None)
        peak: float = self._answer()
        self._process.join()
        return peak

    def stop(self) -> None:
        """End the process whatever it is doing."""
        self._process.terminate()
        self._process.join()

    def _answer(self) -> Any:
        found = self._connection.recv()
        if isinstance(found, str):
            self._process.join()
            raise SystemExit(f"{self.name} failed:\n{found}\nThe end of its output:\n{self.log.read_text()[-1500:]}")
        return found


def _serve(connection: Connection, make: Callable[[], Contestant], steps: int, cuda: bool, log: Path) -> None:
    """The child's side; whatever the contestant prints goes to ``log``."""
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            contestant = make()
            baseline = _reset_memory(cuda)
            parameters = contestant.build()
            patch = getattr(contestant, "patch_size", None)
            connection.send({"parameters": parameters, "batch_size": contestant.batch_size, "patch_size": patch})
            fixed = next(contestant.source(0))
            while (number := connection.recv()) is not None:
                count = steps if number else 1
                bare = _cost(contestant, iter([fixed] * count), cuda)
                real = itertools.islice(contestant.source(number), count)
                connection.send(Round(bare, _cost(contestant, real, cuda)))
            connection.send(_peak(cuda) - baseline)
            getattr(contestant, "close", lambda: None)()
        except Exception:
            connection.send(traceback.format_exc())


def _cost(contestant: Contestant, source: Iterator[Any], cuda: bool) -> Cost:
    cpu, wall, steps = cpu_seconds(), time.perf_counter(), 0
    for batch in source:
        contestant.step(batch)
        steps += 1
    if cuda:
        torch.cuda.synchronize()
    return Cost((time.perf_counter() - wall) / steps, (cpu_seconds() - cpu) / steps)


def _reset_memory(cuda: bool) -> float:
    """Forget the peak so far; what is taken now, in MiB."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(cuda: bool) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if cuda else _status("VmHWM")


def _status(key: str) -> float:
    """A figure of the process in MiB; no number where the system is not Linux."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{key}:\s+(\d+)", Path(f"/proc/{os.getpid()}/status").read_text())
        return int(found[1]) / 1024 if found else float("nan")
    return float("nan")
