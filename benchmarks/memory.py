"""Peak memory from ten to ten thousand images: segpipe's verbs, a plain loop and MONAI. It should not grow.

Archives are hard links to a few phantoms, which are small so that ten thousand take minutes: what is kept for each
image shows all the same. `--pixels 1024 --size 512 --images 10 100` measures pictures as they are. Two figures a run:
the resident set of the largest process, in which pages of memory-mapped files stand too although they cost nothing, and
the largest anonymous part of all processes together that was seen (every 50 ms): what the command really needs.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from commands import Cost, adopt_orphans, run
from harness import PROJECT, print_machine, print_table
from memory_archive import archive_config, make_archive, write_model
from memory_picture import write_picture
from predict_contestants import HERE, QUIET
from predict_model import SEGPIPE, shard_commands

GOAL = 1.1  # "flat": ten times the images, at most a tenth more memory
WATCH = 0.05  # seconds
PICTURE = PROJECT / "docs" / "images" / "memory.png"
PEERS = {"a plain loop": "loop", "MONAI": "monai"}


def measure(folder: Path, model: Path, only: list[str]) -> dict[str, Cost]:
    """Every command on the archive in ``folder``."""
    config = archive_config(folder, model)
    calls: dict[str, Callable[[], Cost]] = {
        name: partial(run, command, folder, WATCH) for name, command in shard_commands(config, model).items()
    }
    options = ["--model", model, "--output", folder / "masks"]
    calls["predict FOLDER"] = partial(run, [SEGPIPE, "predict", folder / "data" / "image", *options], folder, WATCH)
    for name, peer in PEERS.items():
        command = [sys.executable, HERE / "predict_peers.py", peer, *options[:2]]
        command += ["--output", folder / peer, "--images", folder / "data" / "image"]
        calls[name] = partial(run, command, folder, WATCH, QUIET)
    chosen = [name for name in calls if not only or any(part in name for part in only)]
    if not chosen:
        sys.exit(f"--only {' '.join(only)}: none of {', '.join(calls)}")
    return {name: calls[name]() for name in chosen}


def print_results(found: dict[tuple[str, int], Cost]) -> None:
    """The table, with ratios to each command's smallest archive, and the verdict."""
    rows, worst = [], 0.0
    for (name, images), cost in sorted(found.items(), key=lambda item: (_order(found).index(item[0][0]), item[0][1])):
        first = next(found[other] for other in sorted(found) if other[0] == name)
        ratio = cost.anonymous / max(first.anonymous, 1)
        worst = max(worst, ratio) if name not in PEERS else worst
        form = [f"{cost.anonymous:.0f}", f"{ratio:.2f}", f"{cost.resident:.0f}", f"{1000 * cost.cpu / images:.1f}"]
        rows.append([name, f"{images:,}", *form])
    print_table(("", "images", "anonymous MiB", "ratio", "resident MiB", "CPU ms per image, with the start"), rows)
    verdict = "met" if worst <= GOAL else "missed"
    print(f"Goal: segpipe's anonymous memory at most {GOAL} times the smallest archive's: {verdict} ({worst:.2f}).")


def _order(found: dict[tuple[str, int], Cost]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in found))


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10, 100, 1000, 10000], help="sizes of archives")
    parser.add_argument("--pixels", type=int, default=128, help="rows and columns of the pictures (default 128)")
    parser.add_argument("--size", type=int, default=128, help="rows and columns of the network's input (default 128)")
    parser.add_argument("--only", nargs="+", default=[], help="commands whose names contain one of these")
    parser.add_argument("--picture", type=Path, default=PICTURE, help=f"the curve (default {PICTURE.name} in docs)")
    arguments = parser.parse_args()
    adopt_orphans()
    print_machine("monai", "opencv-python-headless", "torch")
    found: dict[tuple[str, int], Cost] = {}
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-") as temporary:
        model = write_model(Path(temporary) / "model", arguments.size)
        for images in sorted(arguments.images):
            folder = Path(temporary) / str(images)
            make_archive(folder, images, arguments.pixels)
            for name, cost in measure(folder, model, arguments.only).items():
                found[name, images] = cost
                print(f"{name}, {images} images: {cost}", file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    print(f"{arguments.pixels} x {arguments.pixels} pixels, network's input {arguments.size} x {arguments.size}\n")
    print_results(found)
    if len(arguments.images) > 1:
        write_picture(found, arguments.picture)


if __name__ == "__main__":
    main()
