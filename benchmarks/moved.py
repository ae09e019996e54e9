"""What a moved archive costs: rows taken over by content (hashing) beside rows that are read (decoding).

Hard links to the NIH radiographs of the shared development data (8-bit PNG, 1024 x 1024), or to phantoms of that size,
with a phantom's label mask each. Every call is `segpipe preprocess` as the workflow calls it, and CPU time is that of
the process with its readers.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from commands import Cost, adopt_orphans, run
from harness import print_machine, print_table, shared

from segpipe.config.load import parse_config
from segpipe.demo.render import phantom_arrays
from segpipe.preprocess.store import FILES
from segpipe.samples.scan import scan

SIDE = 1024


def make_archive(folder: Path, images: int) -> None:
    """``data/image`` and ``data/mask``."""
    sources = shared("nih-25-unlabelled", "*.png") or make_phantoms(folder / "sources")
    truth = phantom_arrays(0, (SIDE, SIDE))[1]["lung"].astype(np.uint8)
    for kind in ("image", "mask"):
        (folder / "data" / kind).mkdir(parents=True)
    cv2.imwrite(str(folder / "mask.png"), truth)
    for number, source in enumerate(sources):
        shutil.copyfile(source, folder / f"{number}.png")
    for number in range(images):
        os.link(folder / f"{number % len(sources)}.png", folder / f"data/image/p{number}.png")
        os.link(folder / "mask.png", folder / f"data/mask/p{number}.png")


def make_phantoms(folder: Path) -> list[Path]:
    """A few, where there is no real data."""
    folder.mkdir()
    paths = [folder / f"{seed}.png" for seed in range(8)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), np.rint(phantom_arrays(seed, (SIDE, SIDE))[0] * 255).astype(np.uint8))
    return paths


def preprocess(folder: Path, root: str) -> Cost:
    """One shard, as Snakemake runs it."""
    data = {"root": str(folder / root), "images": "image/{patient}.png", "masks": "mask/{patient}.png", "shards": 1}
    values = {"name": "run", "results": str(folder / "results"), "classes": {"lung": [1]}, "data": data}
    config = parse_config(json.loads(json.dumps(values)))
    found = scan(config)
    results, output = config.folder, config.folder / "shards" / "0000"
    for name in FILES:
        (output / name).unlink(missing_ok=True)
    segpipe = [sys.executable, "-m", "segpipe", "preprocess", "--config", str(results / found.stage("preprocess"))]
    files = ["--table", str(results / found.table("0000")), "--output", str(output), "--kept", str(results / "kept")]
    return run([*segpipe, *files], folder, watch=0.1)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="number of links (default 2000)")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    arguments = parser.parse_args()
    adopt_orphans()  # the readers
    folder = Path(tempfile.mkdtemp(prefix="segpipe-bench-", dir=arguments.folder))
    try:
        print_machine("numpy", "opencv-python-headless")
        make_archive(folder, arguments.images)
        first = preprocess(folder, "data")
        (folder / "data").rename(folder / "moved")
        moved = preprocess(folder, "moved")
        rows = [
            [name, f"{cost.cpu:.1f}", f"{1000 * cost.cpu / arguments.images:.1f}", f"{cost.resident:.0f}"]
            for name, cost in (("first, all decoded", first), ("moved, all taken over", moved))
        ]
        print((folder / "log.txt").read_text())
        print_table((f"{arguments.images} images", "CPU s", "ms an image", "peak RSS of the largest process, MB"), rows)
        print(f"Decoding takes {first.cpu / moved.cpu:.1f} times the CPU time of taking over.\n")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
