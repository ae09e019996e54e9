"""Which images are shown in the overview and on the page, and their pictures as the network saw them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from segpipe.config.stages import PredictStage
from segpipe.masks.store import MaskReader
from segpipe.preprocess.geometry import Geometry, fit_mask
from segpipe.preprocess.store import open_store, pack_bits

Group = Literal["best", "median", "worst"]  # of the overview
GROUPS: tuple[Group, ...] = ("best", "median", "worst")
Kind = Literal["worst", "best", "sample"]  # of the page
KINDS: tuple[Kind, ...] = ("worst", "best", "sample")

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
