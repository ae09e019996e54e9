"""The model that predict.py and memory.py predict with, where none is given: a short, seeded training on phantoms."""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from commands import run

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.demo.render import phantom_arrays
from segpipe.models.card import read_card
from segpipe.samples.scan import read_scan, scan

SEGPIPE = Path(sys.executable).with_name("segpipe")


def phantom_model(folder: Path, epochs: int, size: int = 512, images: int = 24) -> Path:
    """Train the default network on phantoms' lungs with segpipe's own verbs in ``folder``; the model's folder."""
    for seed in range(images):
        pixels, masks = phantom_arrays(seed, (size, size))
        _write(folder / "data" / "image" / f"p{seed:02d}.png", pixels)
        _write(folder / "data" / "lung" / f"p{seed:02d}.png", masks["lung"])
    data = {"root": folder / "data", "images": "image/{patient}.png", "masks": {"lung": "lung/{patient}.png"}}
    train = {"epochs": epochs, "device": "cpu"}
    config = _parse(folder, {"data": {**data, "shards": 1}, "preprocess": {"size": size}, "train": train})
    found = scan(config)
    results, model = config.folder, "fold0"
    verbs = {
        "preprocess": ["--table", results / found.table("0000"), "--output", results / "shards" / "0000"],
        "dataset": ["--stores", results / "shards", "--output", results / "dataset", "0000"],
        "train": [
            *("--dataset", results / "dataset" / "dataset.parquet", "--shards", results / "shards"),
            *("--model", model, "--output", results / "models" / model),
        ],
    }
    for verb, options in verbs.items():
        run([SEGPIPE, verb, "--config", results / found.stage(verb), *options], folder)
    return results / "models" / model


def archive_config(folder: Path, images: Path, model: Path, predict: dict[str, Any]) -> Config:
    """A run in ``folder`` that applies ``model`` to the PNGs of ``images``, in one shard; scanned."""
    card = read_card(model)
    data = {"root": images, "images": "{patient}.png", "shards": 1}
    contract = {"classes": card.classes, "preprocess": card.preprocess}
    config = _parse(folder, {"data": data, **contract, "model": {"weights": str(model)}, "predict": predict})
    scan(config)
    return config


def shard_commands(config: Config, model: Path, threads: int = 1) -> dict[str, list[object]]:
    """The commands of the rules preprocess and predict for the one shard."""
    results, found = config.folder, read_scan(config)
    shard = results / "shards" / "0000"
    stage = {name: results / found.stage(name) for name in ("preprocess", "predict")}
    preprocess = [SEGPIPE, "preprocess", "--config", stage["preprocess"], "--output", shard]
    predict = [SEGPIPE, "predict-shard", "--config", stage["predict"], "--shard", shard, "--masks", results / "masks"]
    return {
        "preprocess": [*preprocess, "--table", results / found.table("0000")],
        "predict-shard": [*predict, "--output", results / "predictions.parquet", "--threads", threads, model],
    }


def _parse(folder: Path, sections: dict[str, Any]) -> Config:
    return parse_config({"name": "bench", "results": str(folder / "results"), **sections})


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.rint(picture * 255.0).astype(np.uint8))
