"""The score stage: a shard's masks against their references, at the original resolution."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.config.stages import ScoreStage
from segpipe.errors import ImageError, InputError
from segpipe.log import logger, track
from segpipe.masks.reference import read_reference
from segpipe.masks.store.store import MaskReader
from segpipe.preprocess.geometry import Geometry, at_original_size
from segpipe.preprocess.store import pack_bits, write_table
from segpipe.samples.sample import Sample, mask_inside
from segpipe.samples.shards import read_table
from segpipe.score.columns import measure, measured_columns, score_table
from segpipe.score.overlap import counts_from_bits

SPACING = ["spacing_row_mm", "spacing_column_mm"]


def score_shard(stage: ScoreStage, samples: Path, images: Path, predictions: Path, masks: Path, output: Path) -> None:
    """Write a Parquet table with a row for every image that has a reference and an honest prediction.

    ``samples`` is the shard's sample table, ``images`` the store's, ``predictions`` what predict wrote.
    """
    scorer = ShardScorer(stage, samples, images, predictions, masks)
    image_ids = scorer.image_ids
    counts = np.zeros((len(image_ids), len(stage.classes) + 1, 4), np.int64)
    measured = {name: np.zeros(len(image_ids)) for name in measured_columns(list(stage.classes), stage.score)}
    for number, pair in enumerate(track(scorer.pairs(), len(image_ids), f"score {samples.stem}")):
        counts[number] = pair.counts(len(stage.classes))
        both = pair.prediction, pair.reference
        found = measure(*both, pair.spacing, list(stage.classes), stage.score, pair.probability)
        for name, values in measured.items():
            values[number] = found[name]
    write_table(output, score_table(image_ids, counts, list(stage.classes)).assign(**measured))
    logger.info("shard %s: %d images scored", samples.stem, len(image_ids))


@dataclass(frozen=True)
class Pair:
    """An image's masks, unsigned (rows, columns) with class ``i`` in bit ``i``; ``spacing`` in mm, None: unknown."""

    image_id: str
    prediction: np.ndarray
    reference: np.ndarray
    spacing: tuple[float, float] | None
    probability: Callable[[int], np.ndarray]  # of class i at the original size, float32 (rows, columns)

    def counts(self, classes: int) -> np.ndarray:
        """Counts of pixels, int64 (classes + 1, 4)."""
        return counts_from_bits(self.prediction, self.reference, classes)


@dataclass
class ShardScorer:
    """Counts of the images of a shard; the arguments are those of :func:`score_shard`."""

    stage: ScoreStage
    samples: Path
    images: Path
    predictions: Path
    masks: Path

    def __post_init__(self) -> None:
        names = {"image_id", "status", *SPACING, *(field.name for field in fields(Geometry))}
        facts = pd.read_parquet(self.images, columns=sorted(names)).set_index("image_id")
        predicted = pd.read_parquet(self.predictions).query("predicted and not seen").set_index("image_id")
        known = facts.dropna(subset=["rows", "columns"])
        self._geometries = {str(name): Geometry.of_row(row.to_dict()) for name, row in known.iterrows()}
        spacings = facts[SPACING].dropna().itertuples()
        self._spacings = {name: (float(row), float(column)) for name, row, column in spacings}
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
        for pair in self.pairs(image_ids):
            yield pair.image_id, pair.counts(len(self.stage.classes))

    def pairs(self, image_ids: Collection[str] | None = None) -> Iterator[Pair]:
        """As :meth:`counts`, with the masks themselves."""
        with MaskReader.of_shard(self.masks, self._predicted, self.stage.classes) as reader:
            for sample in self._todo:
                name = sample.image_id
                if image_ids is None or name in image_ids:
                    prediction, reference = pack_bits(reader.masks(name)), self._reference(sample)
                    squares = cache(partial(reader.probabilities, name))  # read once for all classes, if at all
                    probability = partial(self._probability, squares, name)
                    yield Pair(name, prediction, reference, self._spacings.get(name), probability)

    def _probability(self, squares: Callable[[], np.ndarray], image_id: str, index: int) -> np.ndarray:
        return np.asarray(at_original_size(squares()[index : index + 1], self._geometries[image_id])[0])

    def _reference(self, sample: Sample) -> np.ndarray:
        stage, geometry = self.stage, self._geometries[sample.image_id]
        shape = (geometry.rows, geometry.columns)
        try:
            files = {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()}
            return read_reference(files, stage.classes, shape, stage.missing_mask, stage.root).bits
        except ImageError as error:
            # It was readable when the shard was preprocessed, so the set changed under the run.
            text = f"The mask of {sample.image} changed since it was preprocessed: {error}"
            raise InputError(f"{text} Run again to take the change in.") from None
