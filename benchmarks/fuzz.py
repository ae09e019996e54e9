"""Thousands of damaged files through isolated workers: does one crash, hang, take too much, or give its header away?

What is damaged are the small files that the tests make (tests/properties/mutants.py) and, with `--real`, the shared
development data. Every mutant follows from its seed; what goes wrong is printed with the seed, and
`--seed S --count 1` makes it again (`--keep FOLDER` writes it there).
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hostile
from harness import PROJECT, print_machine, print_table, shared

sys.path.insert(0, str(PROJECT))

from segpipe.errors import ImageError
from segpipe.masks.reference import read_reference
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from tests.properties.mutants import mutant, valid_files
from tests.unit.images.pictures import SECRET

CPU_SECONDS = 20
LEAK = re.compile(rf"{SECRET}|Traceback|\n")
REAL = ("radiographs-dicom/*.dcm", "hostile/dicom/*", "hostile/png/*.png", "nih-25-unlabelled/0000032*.png",
        "montgomery-138/masks/*_0001_*.png")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, as an image and as a mask."""

    name: str
    reasons: tuple[str, str]
    cpu_s: float
    peak_mb: float


def files_to_damage(real: bool) -> dict[str, bytes]:
    """Names and contents; real files up to 20 MB."""
    files = valid_files()
    if real:
        paths = [path for pattern in REAL for path in shared(*pattern.split("/", 1)) if path.is_file()]
        files |= {str(Path(*path.parts[-2:])): path.read_bytes() for path in paths if path.stat().st_size < 20e6}
    return files


def reader(folder: Path, real: bool) -> Callable[[int], Outcome]:
    """What a worker does with each seed."""
    files = files_to_damage(real)
    measured = hostile.reader(folder)

    def read(seed: int) -> Outcome:
        name, data = mutant(files, seed)
        path = folder / f"{seed}.bin"
        path.write_bytes(data)
        found = measured(path.name)
        mask = ""
        try:
            read_reference({"": path}, {"lung": None}, (37, 53), root=folder)
        except ImageError as error:
            mask = str(error)
        path.unlink()  # of a mutant that kills its worker the file stays
        return Outcome(name, (found.reason, mask), found.cpu_s, found.peak_mb)

    return read


def report(seeds: range, outcomes: list[Outcome | ItemFailure]) -> None:
    """Counts, the slowest and the largest, and all that must not be."""
    whole = [(seed, found) for seed, found in zip(seeds, outcomes, strict=True) if isinstance(found, Outcome)]
    counts = Counter(kind(found.reasons[0]) for _, found in whole)
    print_table(("outcome", "mutants"), [[what, str(count)] for what, count in counts.most_common(40)])
    for title, key in (("slowest", "cpu_s"), ("largest", "peak_mb")):
        first = sorted(whole, key=lambda pair: -getattr(pair[1], key))[:5]
        rows = [[str(seed), found.name, f"{found.cpu_s:.2f}", f"{found.peak_mb:.0f}"] for seed, found in first]
        print_table((f"{title}: seed", "file", "CPU s", "MB"), rows)
    lost = [(seed, found) for seed, found in zip(seeds, outcomes, strict=True) if isinstance(found, ItemFailure)]
    for seed, gone in lost:
        print(f"seed {seed}: {gone.reason}")
    leaks = [seed for seed, found in whole if any(LEAK.search(text) for text in found.reasons)]
    unforeseen = [seed for seed, found in whole if "unforeseen" in found.reasons[0]]
    print(
        f"{len(outcomes)} mutants: {len(lost)} crashes or time-outs, {len(leaks)} leaks {leaks[:9]}, "
        f"{len(unforeseen)} unforeseen errors {unforeseen[:9]}.\n"
    )


def kind(reason: str) -> str:
    """A reason without its figures, so that like ones are counted together."""
    return re.sub(r"[\d.]+", "n", reason)[:70] or "a picture"


def main() -> None:
    """Parse the arguments, read the mutants, print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--count", type=int, default=4000, help="number of mutants (default 4000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--real", action="store_true", help="damage the shared development data too")
    parser.add_argument("--keep", type=Path, help="only write the mutants into this folder")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    if arguments.keep:
        files = files_to_damage(arguments.real)
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            (arguments.keep / f"{seed}.bin").write_bytes(mutant(files, seed)[1])
        return
    print_machine("pillow", "opencv-python-headless", "imagecodecs", "pydicom")
    with tempfile.TemporaryDirectory() as folder:
        task = (Path(folder), arguments.real)
        with isolated_map(reader, task, seeds, Limits(CPU_SECONDS), arguments.workers) as results:
            report(seeds, list(results))


if __name__ == "__main__":
    main()
