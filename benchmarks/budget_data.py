"""Data for trainings at an equal budget: pictures with masks, all of the network's size, folds by patient.

The originals are written at the network's size, so that the masks that are scored are those that were trained on, and
no contestant's score depends on how it resizes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from harness import shared

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.dataset.stage import gather
from segpipe.demo.render import phantom_arrays
from segpipe.files.atomic import canonical_json, write_text
from segpipe.preprocess.stage import preprocess_shard
from segpipe.preprocess.store import open_store, unpack_bits
from segpipe.samples.scan import scan

CLASSES = {"montgomery": ("lung",), "phantoms": ("lung", "heart")}
PHANTOMS = 60


@dataclass(frozen=True)
class Prepared:
    """One set of images, preprocessed and split."""

    folder: Path
    classes: tuple[str, ...]
    size: int

    @property
    def shards(self) -> Path:
        """The shard stores."""
        return self.folder / "results" / "run" / "shards"

    @property
    def table(self) -> Path:
        """The dataset table."""
        return self.folder / "results" / "run" / "dataset.parquet"

    def config(self, overrides: Mapping[str, Any]) -> Config:
        """The defaults, with what a variant overrides in ``model``, ``train`` and ``predict``."""
        masks = {name: f"{name}/{{patient}}_{{number}}.png" for name in self.classes}
        data = {"root": str(self.folder / "files"), "images": "image/{patient}_{number}.png", "masks": masks}
        run = {"results": str(self.folder / "results"), "preprocess": {"size": self.size}}
        return parse_config({**run, "data": data, **overrides})

    def rows(self, model: str, role: str) -> pd.DataFrame:
        """The images that are that to a model (of any repeat), in the order of their ids."""
        rows = pd.read_parquet(self.table)
        return rows[(rows["status"] == "labelled") & (rows[f"role:{model.split('-r')[0]}"] == role)]

    def pictures(self, model: str, role: str) -> list[dict[str, np.ndarray]]:
        """Their ``image`` (1, size, size) uint8 and ``mask`` (classes, size, size) uint8 0/1, as preprocessed."""
        found = []
        for shard, row in self.rows(model, role)[["shard", "row"]].itertuples(index=False):
            store = open_store(self.shards / shard)
            mask = unpack_bits(np.asarray(store.masks[row]), len(self.classes))
            found.append({"image": np.array(store.images[row])[np.newaxis], "mask": mask})
        return found


def prepare(data: str, size: int, folder: Path) -> Prepared | None:
    """Write, preprocess and split the images below ``folder``, unless they are there; None if there are no images."""
    prepared = Prepared(folder / f"{data}-{size}", CLASSES[data], size)
    done, config = prepared.folder / "done.json", prepared.config({})
    made_by = canonical_json({"preprocess": config.preprocess.model_dump(mode="json"), "folds": vars(config.folds)})
    if done.exists() and done.read_text(encoding="utf-8") == made_by:
        return prepared
    shutil.rmtree(prepared.folder, ignore_errors=True)
    written = _write_phantoms(prepared) if data == "phantoms" else _write_montgomery(prepared)
    if not written:
        return None
    found = scan(config)
    shards = list(found.shards)
    stages = stage_configs(config, [])
    for shard in shards:
        preprocess_shard(stages["preprocess"], config.folder / found.table(shard), prepared.shards / shard)
    gather(stages["dataset"], [prepared.shards / shard / "table.parquet" for shard in shards], config.folder)
    write_text(done, made_by)
    return prepared


def _write_montgomery(prepared: Prepared) -> int:
    files = shared("montgomery-138", "images/*.png")
    for file in files:
        name = file.name.removeprefix("MCUCXR_")
        _write(prepared, "image", name, cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
        _write(prepared, "lung", name, cv2.imread(str(file.parents[1] / "masks" / file.name), cv2.IMREAD_GRAYSCALE))
    return len(files)


def _write_phantoms(prepared: Prepared) -> int:
    for number in range(PHANTOMS):
        pixels, masks = phantom_arrays(number, (prepared.size, prepared.size))
        for kind, picture in {"image": pixels, **masks}.items():
            _write(prepared, kind, f"{number:04d}_0.png", np.rint(picture * 255.0).astype(np.uint8))
    return PHANTOMS


def _write(prepared: Prepared, kind: str, name: str, picture: np.ndarray) -> None:
    path = prepared.folder / "files" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.shape != (prepared.size, prepared.size):
        picture = cv2.resize(picture, (prepared.size, prepared.size), interpolation=cv2.INTER_AREA)
    if kind != "image":
        picture = (picture >= 128).astype(np.uint8) * np.uint8(255)
    cv2.imwrite(str(path), picture)
