"""How much faster a shard is with more cores: preprocess, predict-shard, score, by the clock; bytes are compared.

    python benchmarks/cores.py                                # 400 images of 1024 x 1024, with one thread and with two
    python benchmarks/cores.py preprocess --images 100 --threads 1 2 4

Everything is made here: PNG phantoms with masks, and an untrained model of the default network at 512 x 512. The
machine should have nothing else to do.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from commands import Cost, adopt_orphans, run
from harness import print_machine, print_table
from start import SEGPIPE, write_model

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.demo.render import phantom_arrays
from segpipe.files.source import hash_file
from segpipe.samples.scan import scan

PHANTOMS = 8  # other images are these with other noise, so that making them does not take longest


class Shard:
    """A run of one shard; each verb writes into a folder of its own, and needs the verbs before it."""

    def __init__(self, folder: Path, images: int, size: int) -> None:
        self.folder = folder
        write_images(folder / "data", images, size)
        self.config: Config = parse_config(
            {
                "name": "cores",
                "results": str(folder / "results"),
                "data": {
                    "root": str(folder / "data"),
                    "images": "images/{patient}.png",
                    "masks": "masks/{patient}.png",
                    "shards": 1,
                },
                "classes": {"lung": None},
                "model": {"weights": [str(write_model(folder / "models" / "fold0", 0))]},
            }
        )
        scan(self.config)

    def run(self, verb: str, threads: int) -> tuple[Cost, dict[str, str]]:
        """What a verb takes, and the hashes of the files that it writes."""
        output = self.folder / verb
        shutil.rmtree(output, ignore_errors=True)
        options = ["--config", self._only(f"config/{verb.split('-')[0]}*.json"), "--threads", threads]
        table, store, predicted = (
            self._only("samples/0000*.csv"),
            self.folder / "preprocess",
            self.folder / "predict-shard",
        )
        files = {
            "preprocess": ["--table", table, "--output", output],
            "predict-shard": [
                *("--shard", store, "--masks", output / "masks", "--output", output / "predictions.parquet"),
                *self.config.model.weights,
            ],
            "score": [
                *("--table", table, "--shard", store, "--predictions", predicted / "predictions.parquet"),
                *("--masks", predicted / "masks", "--output", output / "scores.parquet"),
            ],
        }
        output.mkdir()
        cost = run([SEGPIPE, verb, *options, *files[verb]], self.folder)
        written = sorted(path for path in output.rglob("*") if path.is_file())
        return cost, {str(path.relative_to(output)): hash_file(path) for path in written}

    def _only(self, pattern: str) -> Path:
        (path,) = self.config.folder.glob(pattern)
        return path


def write_images(folder: Path, count: int, size: int) -> None:
    """Phantoms and their masks as PNG files."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    noise = np.random.default_rng(0)
    phantoms = [phantom_arrays(seed, (size, size)) for seed in range(PHANTOMS)]
    for number in range(count):
        pixels, masks = phantoms[number % PHANTOMS]
        noisy = np.clip(pixels * 255.0 + noise.normal(0, 2, pixels.shape), 0, 255)
        cv2.imwrite(str(folder / "images" / f"p{number:04d}.png"), np.rint(noisy).astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / f"p{number:04d}.png"), masks["lung"].astype(np.uint8) * 255)


def main() -> None:
    """Measure the numbers of threads in turn, so that the noise of the machine hits all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", default=["preprocess", "predict-shard", "score"])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    adopt_orphans()
    print_machine("torch", "monai")
    print(f"{len(os.sched_getaffinity(0))} cores, {arguments.images} images\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        shard = Shard(Path(folder), arguments.images, arguments.size)
        for verb in arguments.verbs:
            costs: dict[int, list[Cost]] = {threads: [] for threads in arguments.threads}
            first: dict[str, str] = {}
            for _ in range(arguments.rounds):
                for threads in arguments.threads:
                    cost, written = shard.run(verb, threads)
                    costs[threads].append(cost)
                    first = first or written
                    if written != first:
                        sys.exit(f"{verb} with {threads} threads wrote other bytes")
            walls = {threads: median(cost.wall for cost in found) for threads, found in costs.items()}
            rows += [
                [
                    verb,
                    f"{threads}",
                    f"{wall:.2f}",
                    f"{median(cost.cpu for cost in costs[threads]):.2f}",
                    f"{walls[arguments.threads[0]] / wall:.2f}",
                ]
                for threads, wall in walls.items()
            ]
    print_table(["verb", "threads", "seconds", "CPU seconds", "times as fast"], rows)


if __name__ == "__main__":
    main()
