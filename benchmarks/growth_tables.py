"""A run of any number of images without the images: tables as the stages leave them, for ``growth.py``.

One phantom goes through `preprocess`; its row, with other ids, hashes, measures and thumbnails, stands for all. The
thumbnails are mixtures of phantoms under smooth noise, one image in fifty is a near duplicate of another.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.config.stages import PreprocessStage, ScoreStage, load_stage
from segpipe.demo.render import phantom_arrays
from segpipe.masks.encode import mask_form
from segpipe.preprocess.quality import THUMBNAIL, perceptual_hash
from segpipe.preprocess.stage import preprocess_shard
from segpipe.preprocess.store import FILES, write_table
from segpipe.samples.scan import newest_scan, scan
from segpipe.samples.shards import read_table
from segpipe.score.columns import measured_columns, score_table
from segpipe.score.overlap import COUNTS

PER_FOLDER, COPIES, UNREADABLE, UNLABELLED = 1000, 50, 100, 10  # every 50th is a copy, ...
SIDE = 1024  # rows and columns of the originals


def config_of(folder: Path, name: str = "bench") -> Config:
    """Two classes in label masks, folds, the demo's defaults."""
    values = {
        "name": name,
        "results": str(folder / "results"),
        "classes": {"lung": [1], "heart": [2]},
        "data": {
            "root": str(folder / name),
            "images": "image/{site}/{patient}_{view}.png",
            "masks": "mask/{site}/{patient}_{view}.png",
            "duplicates": "warn",
        },
        "preprocess": {"size": 512},
    }
    values["report"] = {"cases": 0}  # pictures are a number of their own, however many images there are
    return parse_config(values)


def make_files(root: Path, images: int) -> None:
    """Empty files where images and masks would be; two images a patient."""
    for number in range(images):
        for kind in ("image", "mask") if number % UNLABELLED else ("image",):
            path = root / kind / f"site{number // PER_FOLDER}" / f"p{number // 2:07d}_v{number % 2}.png"
            if number % PER_FOLDER < 2:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def template(folder: Path) -> dict[str, Any]:
    """The row that `preprocess` writes of a labelled phantom."""
    config, shape = config_of(folder, "template"), (256, 256)
    pixels, truth = phantom_arrays(0, shape)
    labels = np.where(truth["heart"] > 0, 2, np.where(truth["lung"] > 0, 1, 0))
    for kind, picture in (("image", np.rint(np.clip(pixels, 0, 1) * 255)), ("mask", labels)):
        path = config.data.root / kind / "a" / "p_v.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture.astype(np.uint8))
    scan(config)
    stage = load_stage(config.folder / "config" / "preprocess.json", PreprocessStage)
    preprocess_shard(stage, config.folder / "samples" / "0000.csv", config.folder / "shards" / "0000")
    row: dict[str, Any] = pd.read_parquet(config.folder / "shards" / "0000" / FILES[2]).iloc[0].to_dict()
    return row


def make_stores(config: Config, row: dict[str, Any]) -> None:
    """``shards/<shard>/table.parquet`` of every scanned shard, and stacks of pictures that take no room."""
    rng, bases = np.random.default_rng(0), _phantoms()
    earlier: list[np.ndarray] = []
    for table in sorted((config.folder / "samples").glob("*.csv")):
        samples = list(read_table(table))
        rows = []
        for sample in samples:
            number = int(sample.image.rpartition("p")[0].rpartition("p")[2].partition("_")[0])
            copied = earlier and number % COPIES == 0
            thumbnail = earlier[rng.integers(len(earlier))] if copied else _thumbnail(rng, bases)
            if len(earlier) < PER_FOLDER and not copied:
                earlier.append(thumbnail)
            own = _row(row, rng, thumbnail)
            own |= {"image_id": sample.image_id, "image": sample.image, "patient": sample.patient, "site": sample.site}
            own |= {f"carried:{name}": value for name, value in sample.carried.items()}
            if number % UNREADABLE == 7:
                own |= dict.fromkeys(set(row) - set(own) | {"sha256", "picture", "content", "perceptual_hash"})
                own |= {"thumbnail": None, "status": "quarantined", "reason": "is a PNG that ends too early"}
            elif not sample.masks:
                own["status"] = "unlabelled"
            rows.append(own)
        folder = config.folder / "shards" / table.stem
        write_table(folder / FILES[2], pd.DataFrame(rows)[list(row)])
        for name in FILES[:2]:
            _sparse_stack(folder / name, len(rows), config.preprocess.size)


def make_predictions(config: Config) -> None:
    """``predictions/<shard>.parquet``, as `predict` writes it."""
    form = mask_form(config.predict.form, config.class_values, True)
    for table in sorted((config.folder / "shards").glob(f"*/{FILES[2]}")):
        rows = pd.read_parquet(table, columns=["image_id", "status", "sha256"])
        usable = rows["status"] != "quarantined"
        made = pd.DataFrame(
            {"image_id": rows["image_id"], "predicted": usable, "models": "fold0", "form": form, "masks": "files"}
        )
        made = made.assign(seen=False, masks_sha256=rows["sha256"].fillna(""), removed_pixels=3, filled_pixels=0)
        made = made.assign(engine="torch 2.13.0 float32", parity=0.0)
        write_table(config.folder / "predictions" / f"{table.parent.name}.parquet", made)


def write_scores(results: Path, shards: Sequence[str]) -> None:
    """What `score` does beside looking at masks: its tables, from random counts."""
    stage = load_stage(results / newest_scan(results).stage("score"), ScoreStage)
    for number, shard in enumerate(shards):
        rng = np.random.default_rng(number)
        facts = pd.read_parquet(results / "shards" / shard / FILES[2], columns=["image_id", "status", "rows"])
        predicted = pd.read_parquet(results / "predictions" / f"{shard}.parquet").query("predicted and not seen")
        wanted = set(facts.loc[facts["status"] == "labelled", "image_id"]) & set(predicted["image_id"])
        todo = [
            sample for sample in read_table(results / newest_scan(results).table(shard)) if sample.image_id in wanted
        ]
        shares = rng.dirichlet((20, 1, 1, 60), (len(todo), len(stage.classes) + 1))
        counts = np.rint(shares * SIDE * SIDE).astype(np.int64).reshape(-1, len(stage.classes) + 1, len(COUNTS))
        table = score_table([sample.image_id for sample in todo], counts, list(stage.classes))
        measured = measured_columns(list(stage.classes), stage.score)
        table[measured] = rng.integers(1, 9, (len(todo), len(measured)))  # pieces are whole numbers
        write_table(results / "scores" / f"{shard}.parquet", table)


def _row(row: dict[str, Any], rng: np.random.Generator, thumbnail: np.ndarray) -> dict[str, Any]:
    """The template with hashes, measures and sizes of its own."""
    names = ("sha256", "picture", "content")
    own = row | {name: rng.bytes(32).hex() for name in names}
    shares = ("flat_share", "black_share", "white_share", "polarity_score", "mask_outside_field")
    own |= {name: round(float(rng.random()) * 0.1, 4) for name in shares}
    own |= {f"mask_share_{name}": round(float(rng.normal(0.25, 0.02)), 4) for name in ("lung", "heart")}
    own |= {"rows": int(rng.integers(900, 3000)), "columns": int(rng.integers(900, 3000))}
    return own | {"perceptual_hash": perceptual_hash(thumbnail), "thumbnail": thumbnail.tobytes()}


def _phantoms() -> np.ndarray:
    """Thumbnails of a few, float32 (n, 32, 32)."""
    size = (THUMBNAIL, THUMBNAIL)
    found = [cv2.resize(phantom_arrays(seed, (256, 256))[0], size, interpolation=cv2.INTER_AREA) for seed in range(16)]
    return np.stack(found).astype(np.float32)


def _thumbnail(rng: np.random.Generator, bases: np.ndarray) -> np.ndarray:
    one, other = bases[rng.integers(len(bases), size=2)]
    noise = cv2.resize(rng.normal(0, 0.12, (8, 8)).astype(np.float32), (THUMBNAIL, THUMBNAIL))
    mixed = one + (other - one) * np.float32(rng.random()) + noise
    return np.clip(mixed * 255, 0, 255).astype(np.uint8)


def _sparse_stack(path: Path, count: int, size: int) -> None:
    """An .npy file of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + count * size * size)
