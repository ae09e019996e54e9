"""Which images are shown, and their pictures as the network saw them, with reference and prediction."""

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

# Which images the overview shows: the best, those in the middle, and the worst.

Group = Literal["best", "median", "worst"]
GROUPS: tuple[Group, ...] = ("best", "median", "worst")


@dataclass(frozen=True)
class Case:
    """One image to show.

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
    """Group and image_id of at most ``each`` images a group, best first, none twice.

    ``table`` is the report. Equal scores go by image_id, so the choice does not depend on the order of
    rows. Fewer than ``3 * each`` scored images are shared out evenly; a single one counts as best.
    """
    scored = table[table["status"] == "scored"].sort_values(["miou", "image_id"], ascending=[False, True])
    ids = [str(name) for name in scored["image_id"]]
    if len(ids) < 3:
        return list(zip(("best", "worst"), ids, strict=False))
    each = min(each, len(ids) // 3)
    middle = (len(ids) - each) // 2
    chosen = (ids[:each], ids[middle : middle + each], ids[-each:])
    return [(group, name) for group, names in zip(GROUPS, chosen, strict=True) for name in names]


# Pictures of chosen images, as the network saw them, with reference and prediction.

Pictures = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_pictures(
    image_ids: Collection[str], stage: PredictStage, results: Path, shards: Sequence[str]
) -> dict[str, Pictures]:
    """Image (uint8), reference and prediction (bit i = class i) of some images, (rows, columns) without the padding."""
    found: dict[str, Pictures] = {}
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
