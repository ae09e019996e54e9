"""The score stage: a shard's masks against their references, at the original resolution."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.errors import ImageError, InputError
from segpipe.io.mask_store import MaskReader
from segpipe.io.masks.reference import read_reference
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
    scorer = ShardScorer(stage, samples, images, predictions, masks)
    image_ids = scorer.image_ids
    counts = np.zeros((len(image_ids), len(stage.classes) + 1, 4), np.int64)
    for number, (_, found) in enumerate(track(scorer.counts(), len(image_ids), f"score {samples.stem}")):
        counts[number] = found
    write_table(output, score_table(image_ids, counts, list(stage.classes)))
    logger.info("shard %s: %d images scored", samples.stem, len(image_ids))


@dataclass
class ShardScorer:
    """Counts of the images of a shard; the arguments are those of :func:`score_shard`."""

    stage: ScoreStage
    samples: Path
    images: Path
    predictions: Path
    masks: Path

    def __post_init__(self) -> None:
        columns = ["image_id", "status", "rows", "columns"]
        facts = pd.read_parquet(self.images, columns=columns).set_index("image_id")
        predicted = pd.read_parquet(self.predictions).query("predicted and not seen").set_index("image_id")
        self._sizes = {name: (int(rows), int(columns)) for name, _, rows, columns in facts.dropna().itertuples()}
        self._predicted = predicted
        wanted = set(facts.index[facts["status"] == "labelled"]) & set(predicted.index)
        self._todo = [sample for sample in read_table(self.samples) if sample.image_id in wanted]

    @property
    def image_ids(self) -> list[str]:
        """The images that have a reference and an honest prediction, in the order of the sample table."""
        return [sample.image_id for sample in self._todo]

    def counts(self, image_ids: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Each image, or each of those named, with its counts, int64 (classes + 1, 4).

        Raises:
            InputError: a mask is missing or damaged, or a reference changed since it was preprocessed.
        """
        with MaskReader.of_shard(self.masks, self._predicted, self.stage.classes) as reader:
            for sample in self._todo:
                if image_ids is None or sample.image_id in image_ids:
                    bits = pack_bits(reader.masks(sample.image_id))
                    yield sample.image_id, counts_from_bits(bits, self._reference(sample), len(self.stage.classes))

    def _reference(self, sample: Sample) -> np.ndarray:
        stage, shape = self.stage, self._sizes[sample.image_id]
        try:
            files = {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()}
            return read_reference(files, stage.classes, shape, stage.missing_mask, stage.root).bits
        except ImageError as error:
            # It was readable when the shard was preprocessed, so the set changed under the run.
            text = f"The mask of {sample.image} changed since it was preprocessed: {error}"
            raise InputError(f"{text} Run again to take the change in.") from None
