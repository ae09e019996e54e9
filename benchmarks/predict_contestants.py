"""Who takes part in predict.py: each a way to get from a folder of PNGs to a folder of masks, by commands."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import check_output

import cv2
import numpy as np
from commands import Cost, run
from harness import shared
from predict_model import SEGPIPE, archive_config, shard_commands

from segpipe.demo.render import phantom_arrays

HERE = Path(__file__).parent
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}  # as segpipe sets it: waiting threads sleep


@dataclass(frozen=True)
class Contestant:
    """``cost`` runs its commands in a work folder, on a folder of images."""

    cost: Callable[[Path, Path], Cost]
    few: int
    many: int
    masks: str  # the folder in the work folder where they lie afterwards
    engine: str = ""
    compared: bool = True


def contestants(arguments: argparse.Namespace, model: Path, nnunet: Path | None) -> dict[str, Contestant]:
    """By name; the loop comes first."""
    counts = (arguments.few, arguments.many)
    found = {
        "loop": Contestant(_peer("loop", model, arguments), *counts, "masks"),
        "MONAI": Contestant(_peer("monai", model, arguments), *counts, "masks"),
    }
    found["segpipe predict"] = Contestant(_folder(model, arguments), *counts, "masks", arguments.engines[-1])
    for engine in arguments.engines:
        verbs = Contestant(_verbs(model, engine, arguments), *counts, "results/bench/masks", engine)
        found[f"segpipe's two verbs, {engine}"] = verbs
    if nnunet:
        few = max(1, arguments.nnunet_images // 3)
        cost = _peer("nnunet", nnunet, arguments)
        found["nnU-Net, its own network"] = Contestant(
            cost, few, few + arguments.nnunet_images, "masks", compared=False
        )
    wanted = [*arguments.only, "loop", "MONAI"]
    return {name: each for name, each in found.items() if not arguments.only or any(part in name for part in wanted)}


def make_folder(folder: Path, images: int) -> None:
    """``images`` PNGs, hard links to copies of the radiographs at hand, or to phantoms. nnU-Net wants such names."""
    originals = folder.parent / "originals"
    if not originals.exists():
        originals.mkdir()
        for path in shared("nih-25-unlabelled", "*.png"):
            shutil.copy(path, originals)
        if not any(originals.iterdir()):
            print("No shared data (SEGPIPE_SHARED): phantoms instead, which compress otherwise than radiographs.\n")
            for seed in range(8):
                pixels = np.rint(phantom_arrays(seed, (1024, 1024))[0] * 255.0).astype(np.uint8)
                cv2.imwrite(str(originals / f"{seed}.png"), pixels)
    files = sorted(originals.iterdir())
    folder.mkdir()
    for number in range(images):
        os.link(files[number % len(files)], folder / f"p{number:05d}_0000.png")


def nnunet_model(arguments: argparse.Namespace, folder: Path) -> Path | None:
    """Plan and make nnU-Net's network, or take the one given; None where it is not installed."""
    if not find_spec("nnunetv2") or not arguments.nnunet_images:
        return None
    if not arguments.nnunet_model:
        folder.mkdir()
        run([sys.executable, HERE / "predict_nnunet.py", folder], folder)
    from predict_nnunet import what_it_does

    model = (arguments.nnunet_model or folder / "model").resolve()
    print(f"nnU-Net: {what_it_does(model)}\n")
    return model


def resident(engine: str, model: Path, arguments: argparse.Namespace, folder: Path) -> float:
    """Milliseconds per image of an engine alone, on a batch that stays where it is."""
    options = ["--model", model, "--engine", engine, "--device", arguments.device, "--threads", arguments.threads]
    command = [sys.executable, HERE / "predict_resident.py", *options]
    found = check_output([str(part) for part in command], cwd=folder, env={**os.environ, **QUIET})
    return float(json.loads(found)["wall_ms"])


def _peer(name: str, model: Path, arguments: argparse.Namespace) -> Callable[[Path, Path], Cost]:
    options = ["--model", model, "--device", arguments.device, "--threads", arguments.threads]
    command = [sys.executable, HERE / "predict_peers.py", name, *options, "--output", "masks", "--images"]
    return lambda work, images: run([*command, images], work, environment=QUIET)


def _folder(model: Path, arguments: argparse.Namespace) -> Callable[[Path, Path], Cost]:
    """`segpipe predict FOLDER`, with the engine that it chooses by itself."""
    options = ["--model", model, "--output", "masks", "--device", arguments.device, "--threads", arguments.threads]
    return lambda work, images: run([SEGPIPE, "predict", images, *options], work)


def _verbs(model: Path, engine: str, arguments: argparse.Namespace) -> Callable[[Path, Path], Cost]:
    """What the workflow's two rules call for a shard; listing the files comes before, in Snakemake's process."""
    predict = {"engine": engine, "device": arguments.device}

    def cost(work: Path, images: Path) -> Cost:
        config = archive_config(work, images, model, predict)
        first, second = (run(command, work) for command in shard_commands(config, model, arguments.threads).values())
        return first + second

    return cost
