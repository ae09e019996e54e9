"""`segpipe preprocess` with one process and with two at once: how many images a second more."""

import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen

from harness import print_table
from predict_model import SEGPIPE

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.samples.scan import scan

GOAL = 1.8
SPIN = "import time; n = 0\nwhile time.process_time() < 5: n += 1"  # what two processes get that share nothing


def workers_table(files: list[Path], images: int, repeats: int, folder: Path) -> None:
    """One and two processes in turns, each with its own shard; beside them, processes that only count.

    On a machine where others work, two get less than twice as much as one, whatever they do: hence the second line.
    """
    configs = [_archive(folder / f"shard{number}", files, images) for number in range(2)]
    rounds: dict[str, list[list[float]]] = {"segpipe preprocess": [], "a loop that counts": []}
    for _ in range(repeats):
        for name, command in (("segpipe preprocess", _preprocess), ("a loop that counts", _spin)):
            seconds = [_together([command(config) for config in configs[:count]]) for count in (1, 2)]
            rounds[name].append(seconds)
    rows = []
    for name, figures in rounds.items():
        one, two = (median(seconds[part] for seconds in figures) for part in (0, 1))
        rows.append([name, f"{one:.1f}", f"{two:.1f}", f"{median(2 * a / b for a, b in figures):.2f}"])
    print_table(("", "one process, wall s", "two, wall s", "times the work per second"), rows)
    ratio = float(rows[0][-1])
    print(f"{images} images each, {repeats} rounds, load {os.getloadavg()[0]:.1f} at the end.")
    print(f"Goal: two processes at least {GOAL} times one: {'met' if ratio >= GOAL else 'missed'} ({ratio}).\n")


def _archive(folder: Path, files: list[Path], images: int) -> Config:
    """Links to copies of ``files`` in one shard."""
    (folder / "data").mkdir(parents=True)
    for number in range(images):
        original, link = folder / files[number % len(files)].name, folder / "data" / f"p{number:05d}.png"
        if not original.exists():
            shutil.copy(files[number % len(files)], original)
        os.link(original, link)
    data = {"root": folder / "data", "images": "{patient}.png", "shards": 1}
    unused = {"classes": {"lung": None}, "model": {"weights": "none"}}  # images without masks, which are only read
    config = parse_config({"name": "bench", "results": str(folder / "results"), "data": data, **unused})
    scan(config)
    return config


def _preprocess(config: Config) -> list[object]:
    stage, table = config.folder / "config" / "preprocess.json", config.folder / "samples" / "0000.csv"
    return [SEGPIPE, "preprocess", "--config", stage, "--table", table, "--output", config.folder / "shards" / "0000"]


def _spin(_: Config) -> list[object]:
    return [sys.executable, "-c", SPIN]


def _together(commands: list[list[object]]) -> float:
    """Seconds until all have ended."""
    started = time.perf_counter()
    running = [Popen([str(part) for part in command], stdout=DEVNULL, stderr=DEVNULL) for command in commands]
    if any(process.wait() for process in running):
        sys.exit(f"failed: {' '.join(map(str, commands[0]))}")
    return time.perf_counter() - started
