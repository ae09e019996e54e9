"""How long the verbs take to start: seconds by the clock and of CPU time, for so few images that little else is left.

    python benchmarks/start.py                       # all, five rounds; medians, and the fastest of each
    python benchmarks/start.py predict preprocess    # only these

Everything is made here: 7 phantoms of 1024 x 1024, three untrained models of the default network at 512 x 512, and the
demo's images for `snakemake -n`. Where other work runs on the same cores, the fastest round and the CPU time tell more
than the median.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from commands import Cost, adopt_orphans, run
from harness import PROJECT, print_machine, print_table

from segpipe.config import Config, Dicom, Preprocess
from segpipe.config.load import parse_config
from segpipe.demo.files import make_phantoms
from segpipe.demo.render import phantom_arrays
from segpipe.models.card import ModelCard
from segpipe.models.networks.registry import build_network
from segpipe.models.weights import save_model
from segpipe.samples.scan import read_scan, scan

SEGPIPE, SNAKEMAKE = (Path(sys.executable).with_name(name) for name in ("segpipe", "snakemake"))
IMAGES, MODELS = 7, 3
GOALS = {"preprocess": 1.5, "predict-shard": 4.0, "predict": 4.5}


class Place:
    """A folder with images, models, and a run that is prepared for each verb."""

    def __init__(self, folder: Path, size: int = 1024) -> None:
        self.folder, self.images = folder, folder / "images"
        write_images(self.images, IMAGES, size)
        self.models = [write_model(folder / "models" / f"fold{seed}", seed) for seed in range(MODELS)]
        self.config: Config = parse_config(
            {
                "name": "start",
                "results": str(folder / "results"),
                "data": {"root": str(self.images), "images": "{patient}.png", "shards": 1},
                "classes": {"lung": None},
                "model": {"weights": [str(model) for model in self.models]},
            }
        )
        scan(self.config)
        make_phantoms(folder / "data" / "demo", scale=0.25)

    @property
    def shard(self) -> Path:
        """The store of the one shard."""
        return self.config.folder / "shards" / "0000"

    def preprocess(self) -> Cost:
        """Seven images from files to the store."""
        shutil.rmtree(self.shard, ignore_errors=True)
        table = self.config.folder / read_scan(self.config).table("0000")
        return self._run([SEGPIPE, "preprocess", *self._stage("preprocess"), "--table", table, "--output", self.shard])

    def predict_shard(self) -> Cost:
        """Seven images of the store through three models, with two threads as the rule gives on two cores."""
        if not self.shard.exists():
            self.preprocess()
        masks, output = self.config.folder / "masks" / "0000", self.config.folder / "predictions.parquet"
        shutil.rmtree(masks, ignore_errors=True)
        options = [*self._stage("predict"), "--shard", self.shard, "--masks", masks, "--output", output]
        return self._run([SEGPIPE, "predict-shard", *options, "--threads", "2", *self.models])

    def predict(self) -> Cost:
        """One file through one model."""
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        file = min(self.images.iterdir())
        return self._run([SEGPIPE, "predict", file, "--model", self.models[0], "--output", output])

    def dry_run(self) -> Cost:
        """`snakemake -n` of the demo."""
        options = ["--snakefile", PROJECT / "Snakefile", "--configfile", PROJECT / "config" / "config.yaml"]
        return self._run([SNAKEMAKE, "-n", "--cores", 2, *options])

    def _stage(self, name: str) -> list[object]:
        return ["--config", self.config.folder / read_scan(self.config).stage(name)]

    def _run(self, command: list[object]) -> Cost:
        return run(command, self.folder)


def write_images(folder: Path, count: int, size: int) -> None:
    """Phantoms as 8-bit PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        pixels, _ = phantom_arrays(seed, (size, size))
        cv2.imwrite(str(folder / f"p{seed:04d}.png"), np.rint(pixels * 255.0).astype(np.uint8))


def write_model(folder: Path, seed: int, network: str = "subpixel_unet", size: int = 512) -> Path:
    """An untrained network as a model's folder."""
    torch.manual_seed(seed)
    preprocess = Preprocess(size=size).model_dump(mode="json")
    card = ModelCard(network, {}, {"lung": None}, preprocess, Dicom().model_dump(mode="json"), {})
    save_model(folder, build_network(network, 1, {}).state_dict(), card)
    return folder


def row(name: str, costs: list[Cost]) -> list[str]:
    """Median and fastest of the rounds."""
    goal = f"{GOALS[name]:g}" if name in GOALS else ""
    walls, cpus = [cost.wall for cost in costs], [cost.cpu for cost in costs]
    return [name, *(f"{seconds:.2f}" for seconds in (median(walls), min(walls), median(cpus), min(cpus))), goal]


def main() -> None:
    """Measure the verbs in turn, so that the noise of the machine hits all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", help="preprocess, predict-shard, predict, snakemake -n; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    adopt_orphans()
    print_machine("torch", "monai")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        verbs: dict[str, Callable[[], Cost]] = {
            "preprocess": place.preprocess,
            "predict-shard": place.predict_shard,
            "predict": place.predict,
            "snakemake -n": place.dry_run,
        }
        chosen = {name: verb for name, verb in verbs.items() if name in (arguments.verbs or verbs)}
        costs: dict[str, list[Cost]] = {name: [] for name in chosen}
        for _ in range(arguments.rounds):
            for name, verb in chosen.items():
                costs[name].append(verb())
    header = ["verb", "median, s", "fastest, s", "CPU, median", "CPU, least", "goal, s"]
    print_table(header, [row(name, found) for name, found in costs.items()])


if __name__ == "__main__":
    main()
