"""The score stage: a shard's masks against their references, at the original resolution."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.errors import ImageError, InputError
from segpipe.io.masks.reference import read_reference
from segpipe.io.predictions import read_masks
from segpipe.log import logger, track
from segpipe.preprocess.store import pack_bits, write_table
from segpipe.samples.sample import Sample, mask_inside
from segpipe.samples.shards import read_table
from segpipe.score.counts import counts_from_bits
from segpipe.score.table import score_table
from segpipe.stages import ScoreStage


def score_shard(stage: ScoreStage, samples: Path, images: Path, predictions: Path, masks: Path, output: Path) -> None:
    """Write a Parquet table with a row for every image that has a reference and an honest prediction.

    ``samples`` is the shard's sample table, ``images`` the store's, ``predictions`` what predict wrote.
    """
    facts = pd.read_parquet(images, columns=["image_id", "status", "rows", "columns"]).set_index("image_id")
    predicted = pd.read_parquet(predictions).query("predicted and not seen").set_index("image_id")
    sizes = {name: (int(rows), int(columns)) for name, _, rows, columns in facts.dropna().itertuples()}
    wanted = set(facts.index[facts["status"] == "labelled"]) & set(predicted.index)
    todo = [sample for sample in read_table(samples) if sample.image_id in wanted]
    counts = np.zeros((len(todo), len(stage.classes) + 1, 4), np.int64)
    for number, sample in enumerate(track(todo, len(todo), f"score {samples.stem}")):
        shape = sizes[sample.image_id]
        form: Any = predicted.at[sample.image_id, "form"]
        prediction = pack_bits(read_masks(masks, sample.image_id, form, stage.classes))
        reference = _reference(stage, sample, shape)
        counts[number] = counts_from_bits(prediction, reference, len(stage.classes))
    write_table(output, score_table([sample.image_id for sample in todo], counts, list(stage.classes)))
    logger.info("shard %s: %d images scored", samples.stem, len(todo))


def _reference(stage: ScoreStage, sample: Sample, shape: tuple[int, int]) -> np.ndarray:
    try:
        files = {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()}
        return read_reference(files, stage.classes, shape, stage.missing_mask, stage.root).bits
    except ImageError as error:
        # It was readable when the shard was preprocessed, so the set changed under the run.
        raise InputError(
            f"The mask of {sample.image} changed since it was preprocessed: {error} Run again to take the change in."
        ) from None
