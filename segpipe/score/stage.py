"""The score stage: a shard's masks against their references, at the original resolution.

Masks are read and measured in worker processes, as many as there are threads: a file that crashes or hangs its decoder
ends a worker and not the job, and every core counts. The table is the same for any number of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from segpipe.config.stages import ScoreStage
from segpipe.errors import ImageError, InputError
from segpipe.log import logger, track
from segpipe.masks.reference import ReferenceMask, read_reference
from segpipe.masks.store import MaskReader
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import GIB, ItemFailure, Limits
from segpipe.preprocess.geometry import Geometry, at_original_size
from segpipe.preprocess.store import pack_bits, write_table
from segpipe.samples.sample import Sample, mask_inside
from segpipe.samples.shards import read_table
from segpipe.score.columns import measured_columns, score_table
from segpipe.score.measure import measure
from segpipe.score.overlap import counts_from_bits

SPACING = ["spacing_row_mm", "spacing_column_mm"]
LIMITS = Limits(cpu_seconds=600, memory_bytes=8 * GIB)  # of one image, whose distances may be between long contours

Scored = tuple[np.ndarray, dict[str, float]]  # counts, int64 (classes + 1, 4), and what else is measured, by column


def score_shard(
    stage: ScoreStage, samples: Path, images: Path, predictions: Path, masks: Path, output: Path, threads: int = 1
) -> None:
    """Write a Parquet table with a row for every image that has a reference and an honest prediction.

    ``samples`` is the shard's sample table, ``images`` the store's, ``predictions`` what predict wrote. ``threads`` is
    the number of processes that share the images.

    Raises:
        InputError: a mask is missing or damaged, or a reference changed since it was preprocessed.
    """
    files = stage, samples, images, predictions, masks
    image_ids, classes = ShardScorer(*files).image_ids, list(stage.classes)
    counts = np.zeros((len(image_ids), len(classes) + 1, 4), np.int64)
    measured = {name: np.zeros(len(image_ids)) for name in measured_columns(classes, stage.score)}
    with isolated_map(scoring, files, image_ids, LIMITS, threads) as results:
        for number, result in enumerate(track(results, len(image_ids), f"score {samples.stem}")):
            counts[number], found = _checked(result, image_ids[number])
            for name, values in measured.items():
                values[number] = found[name]
    write_table(output, score_table(image_ids, counts, classes).assign(**measured))
    logger.info("shard %s: %d images scored", samples.stem, len(image_ids))


def scoring(
    stage: ScoreStage, samples: Path, images: Path, predictions: Path, masks: Path
) -> Callable[[str], Scored | InputError]:
    """The function that a worker applies to every image; an InputError is returned, so that its text arrives."""
    cv2.setNumThreads(1)  # the processes share the cores
    scorer = ShardScorer(stage, samples, images, predictions, masks)
    reader, classes = scorer.open_masks(), list(stage.classes)

    def score(image_id: str) -> Scored | InputError:
        try:
            pair = scorer.pair(image_id, reader)
            if pair.changed:
                return InputError(_changed(pair.sample, "."))
            both = pair.prediction, pair.reference
            return pair.counts, measure(*both, pair.spacing, classes, stage.score, pair.probability)
        except InputError as error:
            return error

    return score


def _checked(result: Scored | InputError | ItemFailure, image_id: str) -> Scored:
    if isinstance(result, InputError):
        raise result
    if isinstance(result, ItemFailure):
        raise InputError(f"Scoring {image_id} {result.reason}.")
    return result


@dataclass(frozen=True)
class Pair:
    """An image's masks, unsigned (rows, columns) with class ``i`` in bit ``i``; ``spacing`` in mm, None: unknown.

    ``changed`` says whether the reference's files are others than those that were preprocessed.
    """

    sample: Sample
    prediction: np.ndarray
    reference: np.ndarray
    classes: int
    changed: bool
    spacing: tuple[float, float] | None
    probability: Callable[[int], np.ndarray]  # of class i at the original size, float32 (rows, columns)

    @property
    def counts(self) -> np.ndarray:
        """Counts of pixels, int64 (classes + 1, 4)."""
        return counts_from_bits(self.prediction, self.reference, self.classes)


class ShardScorer:
    """The pairs of masks of a shard; the arguments are those of :func:`score_shard`."""

    def __init__(self, stage: ScoreStage, samples: Path, images: Path, predictions: Path, masks: Path) -> None:
        self._stage, self._masks = stage, masks
        names = {"image_id", "status", "mask_sha256", *SPACING, *(field.name for field in fields(Geometry))}
        facts = pd.read_parquet(images, columns=sorted(names)).set_index("image_id")
        self._predicted = pd.read_parquet(predictions).query("predicted and not seen").set_index("image_id")
        wanted = set(facts.index[facts["status"] == "labelled"]) & set(self._predicted.index)
        self._samples = {sample.image_id: sample for sample in read_table(samples) if sample.image_id in wanted}
        self._facts = facts

    @property
    def image_ids(self) -> list[str]:
        """The images that have a reference and an honest prediction, in the order of the sample table."""
        return list(self._samples)

    def open_masks(self) -> MaskReader:
        """A reader of the predicted masks, for :meth:`pair`; one serves one thread.

        Raises:
            InputError: there are none.
        """
        return MaskReader.of_shard(self._masks, self._predicted, self._stage.classes)

    def pair(self, image_id: str, reader: MaskReader) -> Pair:
        """The masks of one of :attr:`image_ids`.

        Raises:
            InputError: a mask is missing or damaged.
        """
        facts = self._facts.loc[image_id]
        geometry, spacing = Geometry.of_row(facts.to_dict()), facts[SPACING].to_numpy(np.float64, na_value=np.nan)
        known = None if np.isnan(spacing).any() else (float(spacing[0]), float(spacing[1]))
        prediction = pack_bits(reader.masks(image_id))
        reference = self._reference(self._samples[image_id], (geometry.rows, geometry.columns))
        sha256 = " ".join(value for _, value in sorted(reference.sha256.items()))
        squares = cache(partial(reader.probabilities, image_id))  # read once for all classes, if at all

        def probability(index: int) -> np.ndarray:
            return np.asarray(at_original_size(squares()[index : index + 1], geometry)[0])

        return Pair(
            self._samples[image_id],
            prediction,
            reference.bits,
            len(self._stage.classes),
            sha256 != facts["mask_sha256"],
            known,
            probability,
        )

    def _reference(self, sample: Sample, shape: tuple[int, int]) -> ReferenceMask:
        stage = self._stage
        try:
            files = {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()}
            return read_reference(files, stage.classes, shape, stage.missing_mask, stage.root)
        except ImageError as error:  # it was readable when the shard was preprocessed
            raise InputError(_changed(sample, f": {error}")) from None


def _changed(sample: Sample, how: str) -> str:
    return f"The mask of {sample.image} changed since it was preprocessed{how} Run again to take the change in."
