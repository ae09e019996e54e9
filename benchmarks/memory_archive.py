"""The archives and the model of memory.py."""

import os
from pathlib import Path

import cv2
import numpy as np

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.demo.render import phantom_arrays
from segpipe.models.card import ModelCard, read_card
from segpipe.models.weights import network_of, save_model
from segpipe.samples.scan import scan

CLASSES = {"lung": None}
SHAPES = ((1.0, 1.0), (0.9, 1.1), (1.1, 0.9), (0.7, 0.6))  # memory is that of the largest picture, not of the last


def make_archive(folder: Path, images: int, pixels: int) -> None:
    """``images`` pictures with a mask each, links to a few of about ``pixels`` x ``pixels``."""
    for seed, (rows, columns) in enumerate(SHAPES):
        picture, masks = phantom_arrays(seed, (round(rows * pixels), round(columns * pixels)))
        for name, values in {"image": picture, "lung": masks["lung"]}.items():
            path = folder / "data" / name / f"p{seed:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.rint(values * 255.0).astype(np.uint8))
            for number in range(seed + len(SHAPES), images, len(SHAPES)):
                os.link(path, path.with_name(f"p{number:05d}.png"))


def archive_config(folder: Path, model: Path) -> Config:
    """A run in ``folder`` that applies ``model`` to its archive, in one shard; scanned."""
    data = {"root": folder / "data", "images": "image/{patient}.png", "masks": {"lung": "lung/{patient}.png"}}
    sections = {"data": {**data, "shards": 1}, "preprocess": read_card(model).preprocess}
    config = parse_config(
        {"name": "bench", "results": str(folder / "results"), **sections, "model": {"weights": str(model)}}
    )
    scan(config)
    return config


def write_model(folder: Path, size: int) -> Path:
    """The default network with random weights: memory does not depend on what it has learned."""
    data = {"images": "{patient}.png", "masks": {"lung": "{patient}.png"}}
    config = parse_config({"data": data, "preprocess": {"size": size}})
    network = network_of(config.model, len(CLASSES))
    contract = {"preprocess": config.preprocess.model_dump(mode="json"), "dicom": config.dicom.model_dump(mode="json")}
    card = ModelCard(config.model.network, config.model.options, config.class_values, **contract, provenance={})
    save_model(folder, network.state_dict(), card)
    return folder
