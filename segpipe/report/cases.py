"""Which images the overview and the page show, and their pictures as the network saw them.

The page has them as WebP, with the masks as paths of SVG, which stay sharp at any zoom.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from segpipe.config.stages import PredictStage
from segpipe.masks.store import MaskReader
from segpipe.preprocess.geometry import Geometry, fit_mask
from segpipe.preprocess.store import open_store, pack_bits, unpack_bits

Group = Literal["best", "median", "worst"]  # of the overview
GROUPS: tuple[Group, ...] = ("best", "median", "worst")
Kind = Literal["worst", "best", "sample"]  # of the page
KINDS: tuple[Kind, ...] = ("worst", "best", "sample")

LONGEST_SIDE = 512  # pixels
_QUALITY = 80  # of WebP, 0 to 100
_FINER = 2  # outlines run through the middles of pixels of this many times the resolution
_TOLERANCE = 0.5  # pixels that the simplified outline may be off: stairs of a slanted edge become a line

Layers = tuple[np.ndarray, np.ndarray, np.ndarray]  # image, reference, prediction; see read_layers


@dataclass(frozen=True)
class Case:
    """One image of the overview.

    ``image`` is uint8 (rows, columns), bone bright; ``reference`` and ``prediction`` are unsigned
    (rows, columns) with class ``i`` in bit ``i``. ``miou`` is that of the report.
    """

    group: Group
    image_id: str
    miou: float
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True)
class Shown:
    """One picture of the page; ``image`` is WebP in base64, the outlines are one SVG path per class."""

    kind: Kind
    image_id: str
    columns: int
    rows: int
    image: str
    reference: list[str]
    prediction: list[str]


def choose_cases(table: pd.DataFrame, each: int = 3) -> list[tuple[Group, str]]:
    """Group and image_id of at most ``each`` images a group for the overview, best first, none twice.

    ``table`` is the report. Fewer than ``3 * each`` scored images are shared out evenly; a single one counts as best.
    """
    ids = _ranked(table)
    if len(ids) < 3:
        return list(zip(("best", "worst"), ids, strict=False))
    each = min(each, len(ids) // 3)
    middle = (len(ids) - each) // 2
    chosen = (ids[:each], ids[middle : middle + each], ids[-each:])
    return [(group, name) for group, names in zip(GROUPS, chosen, strict=True) for name in names]


def choose_shown(table: pd.DataFrame, each: int, seed: int) -> list[tuple[Kind, str]]:
    """Kind and image_id of at most ``each`` images of a kind for the page, none twice, whatever the order of rows.

    The worst and the best of the scored ones, then a sample drawn with ``seed`` from all others that have a mask. The
    worst come first, so that few images show the worst.
    """
    ids = _ranked(table)
    worst = ids[::-1][:each]
    best = ids[: len(ids) - len(worst)][:each]
    predicted = table.loc[table["status"].isin(["scored", "unlabelled"]), "image_id"].astype(str)
    others = sorted(set(predicted).difference(worst, best))
    drawn = np.random.default_rng(seed).permutation(len(others))[:each]
    sample = [others[index] for index in sorted(drawn)]
    return [(kind, name) for kind, names in zip(KINDS, (worst, best, sample), strict=True) for name in names]


def _ranked(table: pd.DataFrame) -> list[str]:
    """The scored images, best first; equal scores go by image_id, so that the order of rows does not matter."""
    scored = table[table["status"] == "scored"].sort_values(["miou", "image_id"], ascending=[False, True])
    return [str(name) for name in scored["image_id"]]


def read_layers(
    image_ids: Collection[str], stage: PredictStage, results: Path, shards: Sequence[str]
) -> dict[str, Layers]:
    """Image (uint8), reference and prediction (bit i = class i) of some images, (rows, columns) without the padding."""
    found: dict[str, Layers] = {}
    for shard in shards:
        known = pd.read_parquet(results / "shards" / shard / "table.parquet", columns=["image_id"])["image_id"]
        if not known.isin(image_ids).any():
            continue
        store = open_store(results / "shards" / shard)
        predictions = pd.read_parquet(results / "predictions" / f"{shard}.parquet").query("predicted")
        with MaskReader.of_shard(results / "masks" / shard, predictions, stage.classes) as reader:
            for index in np.flatnonzero(store.table["image_id"].isin(image_ids)):
                row = store.table.iloc[index]
                geometry = Geometry.of_row(row.to_dict())
                prediction = pack_bits(np.stack([fit_mask(mask, geometry) for mask in reader.masks(row["image_id"])]))
                image = _as_uint8(store.images[index])[geometry.inside]
                reference = store.masks[index][geometry.inside]
                found[row["image_id"]] = image, reference, prediction[geometry.inside]
    return found


def _as_uint8(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def draw(kind: Kind, image_id: str, layers: Layers, classes: Sequence[str]) -> Shown:
    """A picture for the page."""
    image, reference, prediction = layers
    small = _shrunk(image, cv2.INTER_AREA)
    rows, columns = small.shape
    paths = [
        [outline(_shrunk(mask, cv2.INTER_NEAREST)) for mask in unpack_bits(np.ascontiguousarray(bits), len(classes))]
        for bits in (reference, prediction)
    ]
    return Shown(kind, image_id, columns, rows, _webp(small), *paths)


def _webp(image: np.ndarray) -> str:
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError("OpenCV cannot write WebP")
    return base64.b64encode(data.tobytes()).decode()


def _shrunk(picture: np.ndarray, how: int) -> np.ndarray:
    rows, columns = picture.shape
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    if scale == 1.0:
        return np.ascontiguousarray(picture)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=how))


def outline(mask: np.ndarray) -> str:
    """A 0/1 mask (rows, columns) as the ``d`` of an SVG path; filled by the even-odd rule it is the mask.

    Units are pixels, (0, 0) is the upper left corner. Blank for an empty mask.
    """
    fine = cv2.resize(mask.astype(np.uint8), None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return "".join(_path(contour) for contour in contours)


def _path(contour: np.ndarray) -> str:
    """A closed path from a contour of the finer grid, int (n, 1, 2) of columns and rows."""
    points = cv2.approxPolyDP(contour, _TOLERANCE * _FINER, True)
    points = (points if len(points) > 2 else contour)[:, 0]
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in ((points + 0.5) / _FINER).tolist()) + "Z"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
