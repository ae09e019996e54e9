"""An archive of any number of images, which are hard links to a few, for ``reprocess.py``; and ways to change it."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.demo.render import phantom_arrays
from segpipe.files.atomic import canonical_json, write_text
from segpipe.models.card import ModelCard

SOURCES = 256  # a file takes 65,000 hard links on ext4
PER_FOLDER = 1000
KINDS = ("image", "mask")
WEIGHTS = "weights"


class Archive:
    """A folder with ``data``, ``sources`` and ``config.json``; one image in ten has no mask."""

    def __init__(self, folder: Path, images: int, trains: bool) -> None:
        self.folder, self.images, self.trains = folder, images, trains
        self.values: dict[str, Any] = {
            "name": "bench",
            "classes": {"lung": [1], "heart": [2]},
            "data": {"root": "data", **{f"{kind}s": f"{kind}/{{site}}/{{patient}}_{{view}}.png" for kind in KINDS}},
            "model": {} if trains else {"weights": WEIGHTS},
        }
        self._make_sources()
        for number in range(images):
            self.link(number)
        self.write_model("first")
        self.write_config()

    def _make_sources(self) -> None:
        for seed in range(SOURCES):
            pixels, truth = phantom_arrays(seed, (64, 64))
            pictures = {"image": np.rint(pixels * 255.0), "mask": truth["lung"] + 2 * (truth["heart"] > 0)}
            for kind, picture in pictures.items():
                path = self.folder / "sources" / kind / f"{seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture.astype(np.uint8))

    def path(self, kind: str, number: int) -> Path:
        """Where an image or mask is; two images a patient, a thousand images a folder."""
        name = f"site{number // PER_FOLDER}/p{number // 2:07d}_v{number % 2}.png"
        return self.folder / "data" / kind / name

    def link(self, number: int) -> None:
        """Add image ``number``, with its mask."""
        for kind in KINDS if number % 10 else KINDS[:1]:
            path = self.path(kind, number)
            if number % PER_FOLDER < 2:
                path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.folder / "sources" / kind / f"{number % SOURCES}.png", path)

    def replace(self, kind: str, number: int) -> None:
        """Other content under a name; the links' common source stays as it is."""
        path = self.path(kind, number)
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content + b" ")

    def write_config(self, **sections: dict[str, Any]) -> None:
        """The config, with other values in some sections."""
        values = self.values | {name: {**self.values.get(name, {}), **own} for name, own in sections.items()}
        (self.folder / "config.json").write_text(json.dumps(values))

    def write_model(self, content: str) -> None:
        """A model's card that fits the config, and a file for its weights, which nobody reads here."""
        config: Config = parse_config(self.values)
        contract = {"preprocess": config.preprocess.model_dump(mode="json"), "dicom": config.dicom.model_dump()}
        card = ModelCard(config.model.network, config.model.options, config.class_values, **contract, provenance={})
        write_text(self.folder / WEIGHTS / "model.json", canonical_json(vars(card)))
        write_text(self.folder / WEIGHTS / "model.safetensors", content)
