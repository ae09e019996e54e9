"""What the benchmarks share: where data is, measuring side by side, and Markdown tables."""

import contextlib
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]


def shared(folder: str, pattern: str) -> list[Path]:
    """Files of the shared development data (SEGPIPE_SHARED, default ``../shared``); empty where it is missing."""
    shared = Path(os.environ.get("SEGPIPE_SHARED", PROJECT.parent / "shared"))
    return sorted((shared / "data" / folder).glob(pattern))


def cpu_seconds() -> float:
    """CPU seconds of this process with its threads, and of its children, those that live and those that ended."""
    spent, alive = os.times(), psutil.Process().children(recursive=True)
    ended = spent.user + spent.system + spent.children_user + spent.children_system
    return ended + sum(sum(child.cpu_times()[:2]) for child in alive)


def interleaved(
    candidates: Mapping[str, Callable[[Path], object]], files: Sequence[Path], repeats: int
) -> dict[str, list[float]]:
    """CPU milliseconds per image of each candidate, one figure per round.

    Every file goes through all candidates before the next file does, so that noise of the machine hits all alike.
    The first round warms up and is thrown away.
    """
    rounds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats + 1):
        spent = dict.fromkeys(candidates, 0.0)
        for file in files:
            for name, candidate in candidates.items():
                started = time.process_time()
                candidate(file)
                spent[name] += time.process_time() - started
        for name, seconds in spent.items():
            rounds[name].append(1000 * seconds / len(files))
    return {name: figures[1:] for name, figures in rounds.items()}


def ratio_rows(rounds: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Median and range of each candidate, and the median of its ratios to the first one, round by round."""
    base = next(iter(rounds.values()))
    return [
        [
            name,
            f"{statistics.median(figures):.2f}",
            f"{min(figures):.2f}-{max(figures):.2f}",
            f"{statistics.median(own / first for own, first in zip(figures, base, strict=True)):.2f}",
        ]
        for name, figures in rounds.items()
    ]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table; columns after the first are right-aligned."""
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join([" --- ", *[" ---: "] * (len(header) - 1)]) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def print_machine(*packages: str) -> None:
    """Facts that figures depend on: processor, cores, memory, load, versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the start; "
        f"Python {platform.python_version()}{', ' if versions else ''}{versions}\n",
        flush=True,
    )


def _processor() -> str:
    """Its name; on Linux the machine's kind is all that `platform` knows."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()
