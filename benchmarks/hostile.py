"""Every hostile file through the path that `segpipe preprocess` reads with: outcome, seconds, memory.

The files: the shared development data's `hostile/dicom` and `hostile/png` (PngSuite, of which most are valid), and
those that the tests make (tests/unit/io/hostile_files.py). A worker reads them one after another; CPU time and memory
are its own. Memory is the peak resident set of a file over what the worker had before it, reset for each file.
"""

import argparse
import re
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import PROJECT, print_machine, print_table, shared

sys.path.insert(0, str(PROJECT))

from segpipe.config.load import parse_config
from segpipe.config.stages import PreprocessStage, stage_configs
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from segpipe.preprocess import read as ingest
from segpipe.samples.sample import Sample
from tests.unit.images.hostile_files import HOSTILE

GOAL_S, GOAL_MB = 2.0, 500.0
WARM_UP = 3  # files read first and not counted: importing readers is nobody's fault


@dataclass(frozen=True)
class Measured:
    """What reading one file came to. ``reason`` is empty for a picture."""

    reason: str
    cpu_s: float
    peak_mb: float


def reader(root: Path) -> Callable[[str], Measured]:
    """What the worker does with each file below ``root``."""
    read = ingest.image_reader(stage(root))

    def measured(name: str) -> Measured:
        _forget_peak()
        before, started = _memory_mb("VmRSS"), _cpu_s()
        reading = read(Sample("x", name))
        return Measured(reading.row["reason"], _cpu_s() - started, _memory_mb("VmHWM") - before)

    return measured


def stage(root: Path) -> PreprocessStage:
    """The default config for files below ``root``."""
    values = {"classes": {"lung": None}, "data": {"root": str(root), "images": "x"}, "model": {"weights": "x"}}
    found = stage_configs(parse_config(values), [])["preprocess"]
    assert isinstance(found, PreprocessStage)
    return found


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory_mb(what: str) -> float:
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets VmHWM


def collect(folder: Path) -> list[str]:
    """Put all files into one folder; their names in order, grouped."""
    names = []
    for kind in ("dicom", "png"):
        for path in shared(f"hostile/{kind}", "*"):
            names.append(f"shared {kind}/{path.name}")
            _write(folder / names[-1], path.read_bytes())
    for name, make in HOSTILE.items():
        names.append(f"made/{name}")
        _write(folder / names[-1], make())
    return names


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def measure(folder: Path, names: list[str]) -> dict[str, Measured | ItemFailure]:
    """Read all files in a worker with the limits of a run."""
    limits = Limits(stage(folder).seconds_per_image)
    with isolated_map(reader, (folder,), [*names[:WARM_UP], *names], limits) as results:
        found = list(results)[WARM_UP:]
    return dict(zip(names, found, strict=True))


def row(name: str, result: Measured | ItemFailure, length: int) -> list[str]:
    """A line of the table."""
    if isinstance(result, ItemFailure):
        return [name, result.reason[:length], "-", "-"]
    outcome = result.reason if len(result.reason) <= length else result.reason[: length - 3] + "..."
    return [name, outcome or "a picture", f"{result.cpu_s:.2f}", f"{result.peak_mb:.0f}"]


def summary(results: dict[str, Measured | ItemFailure]) -> str:
    """Counts, the largest figures, and whether they meet the goals."""
    whole = [result for result in results.values() if isinstance(result, Measured)]
    pictures = sum(not result.reason for result in whole)
    seconds, memory = max(result.cpu_s for result in whole), max(result.peak_mb for result in whole)
    met = len(whole) == len(results) and seconds <= GOAL_S and memory <= GOAL_MB
    return (
        f"{len(results)} files: {len(results) - pictures} rows with a reason, {pictures} pictures, "
        f"{len(results) - len(whole)} that took the worker with them; at most {seconds:.2f} s and {memory:.0f} MB. "
        f"Goal: none, {GOAL_S:.0f} s, {GOAL_MB:.0f} MB ({'met' if met else 'missed'}).\n"
    )


def main() -> None:
    """Parse the arguments, print the table and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=90, help="characters of a reason to show (default 90)")
    parser.add_argument("--all", action="store_true", help="list the shared files too, not only those made here")
    arguments = parser.parse_args()
    print_machine("pillow", "opencv-python-headless", "imagecodecs", "pydicom")
    with tempfile.TemporaryDirectory() as folder:
        names = collect(Path(folder))
        results = measure(Path(folder), names)
    groups = sorted({name.partition("/")[0] for name in names}, key=lambda group: group != "made")
    for group in groups:
        part = {name.partition("/")[2]: result for name, result in results.items() if name.startswith(f"{group}/")}
        print(f"**{group}**\n")
        if arguments.all or group == "made":
            lines = [row(name, result, arguments.length) for name, result in part.items()]
            print_table(("file", "outcome", "CPU s", "MB"), lines)
        print(summary(part))
    print("**All**\n\n" + summary(results))


if __name__ == "__main__":
    main()
