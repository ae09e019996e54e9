"""Pictures of chosen images, as the network saw them, with reference and prediction."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.io.mask_store import MaskReader
from segpipe.preprocess.geometry import Geometry, fit_mask
from segpipe.preprocess.store import open_store, pack_bits
from segpipe.stages import PredictStage

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
