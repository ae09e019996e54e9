"""How many epochs a contestant may train, so that each spends the same budget of CPU time."""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch
from harness import cpu_seconds
from monai.networks.nets import UNet

from segpipe.files.atomic import write_text

CALIBRATION = 2  # epochs


@dataclass(frozen=True)
class Best:
    """The epoch whose weights were kept."""

    epoch: int
    metric: str
    value: float


class Contestant(Protocol):
    """Something that trains and predicts."""

    def settings(self) -> str:
        """What decides its training."""

    def train(self, epochs: int, output: Path) -> Best:
        """Train from the start, leaving in ``output`` what :meth:`test` needs."""

    def test(self, output: Path) -> pd.DataFrame:
        """Scores of the test images as :func:`segpipe.score.columns.score_table` gives them."""


def calibrate(contestant: Contestant, arguments: argparse.Namespace, folder: Path) -> int:
    """How many epochs fit into the budget, from two epochs after one that warms up.

    CPU seconds grow by up to a half when others use the machine. So the two epochs are compared with a yardstick run
    before and after them, and the budget is in seconds of the machine as it was when that was first run.
    """
    stick = Yardstick(arguments)
    contestant.train(1, empty(folder / "calibration"))
    before, output = stick.seconds(), empty(folder / "calibration")
    started = cpu_seconds()
    contestant.train(CALIBRATION, output)
    spent = cpu_seconds() - started
    each = spent / CALIBRATION * stick.nominal / ((before + stick.seconds()) / 2)
    epochs = max(1, round(60 * arguments.minutes / each))
    print(f"calibration: {each:.2f} CPU seconds an epoch, so {epochs} epochs", file=sys.stderr, flush=True)
    return epochs


class Yardstick:
    """CPU time of some steps that are always the same."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        self._network = UNet(2, 1, 1, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2)
        self._images = torch.rand(2, 1, arguments.size, arguments.size)
        self._steps = max(10, 10 * 256**2 // arguments.size**2)
        file = arguments.folder / f"yardstick-{arguments.size}-{arguments.threads}.json"
        if not file.exists():
            write_text(file, json.dumps(sorted(self.seconds() for _ in range(4))[1]))
        self.nominal = float(json.loads(file.read_text(encoding="utf-8")))

    def seconds(self) -> float:
        """Run it."""
        started = cpu_seconds()
        for _ in range(self._steps):
            self._network(self._images).square().mean().backward()
        return cpu_seconds() - started


def empty(folder: Path) -> Path:
    """The folder without what an earlier training left: segpipe would go on from its checkpoint, at no cost."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
