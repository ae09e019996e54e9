"""Pictures through an ensemble and into a store of masks: what shards and folders share.

Four things go on at a time: the next pictures are read, the network computes a batch, and threads bring the last one's
probabilities to the original size and write the masks. How much waits in between is bounded.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segpipe.config import Classes, Predict
from segpipe.errors import SegpipeError
from segpipe.log import plain
from segpipe.masks.encode import Layout, MaskForm
from segpipe.masks.journal import Entry, cache_key
from segpipe.masks.store import MaskStore
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.pipeline import write_behind
from segpipe.predict.postprocess import masks_of
from segpipe.preprocess.geometry import Geometry
from segpipe.score.calibration import FACTS, mean_entropy
from segpipe.score.overlap import count_components

BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Picture:
    """A picture in the network's square, (size, size) uint8 or uint16, how it got there, and what it is.

    ``path`` is for messages, ``cache_key`` that of its masks, and ``facts`` go to the journal.
    """

    image_id: str
    path: str
    pixels: np.ndarray
    geometry: Geometry
    cache_key: str
    models: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


Predicted = tuple[Picture, np.ndarray]  # and its probabilities, float32 (classes, size, size)


class MaskWriter:
    """Predicts pictures, and writes each one's masks and then its line in the journal."""

    def __init__(self, ensemble: Ensemble, predict: Predict, form: MaskForm, classes: Classes, folder: Path) -> None:
        self.ensemble, self.form = ensemble, form
        self._predict, self._classes = predict, classes
        self.layout = Layout(classes, form, predict.masks, predict.probabilities)
        self.store = MaskStore(folder, self.layout)
        cv2.setNumThreads(1)  # there are several writers, and the network's own threads

    def cache_key(self, picture: Any, models: Sequence[str]) -> str:
        """A hash of all that decides the masks; ``picture`` is what tells one picture from another."""
        predict = self._predict
        tidy = [predict.smallest_island, predict.fill_holes]
        return cache_key(
            picture, *self.ensemble.cache_key_parts(models), predict.threshold, *tidy, self.form, self._classes
        )

    def write(self, batches: Iterator[Sequence[Picture]]) -> Generator[Picture]:
        """Predict and write batches, whose pictures have the same models; yields those whose masks are recorded.

        Raises:
            SegpipeError, Exception: as the network or the writing raises it, with the pictures.
        """
        threads = self.ensemble.cores.number
        room = self.ensemble.batch_size + 2 * threads
        predicted = (item for batch in batches if batch for item in self._predicted(batch))
        finished = write_behind(predicted, self._write, self._commit, lambda item: item[0].path, threads, room)
        with closing(finished):
            yield from (picture for picture, _ in finished)

    def _predicted(self, batch: Sequence[Picture]) -> Iterator[Predicted]:
        pixels = np.stack([picture.pixels for picture in batch])
        try:
            probabilities = self.ensemble.probabilities(pixels, batch[0].models)
        except SegpipeError:
            raise
        except Exception as error:
            error.add_note(f"while predicting {', '.join(plain(picture.path) for picture in batch)}")
            raise
        for picture, probability, doubts in zip(batch, probabilities, self.ensemble.disagreements, strict=True):
            facts = {**picture.facts, "disagreement": [None if np.isnan(doubt) else doubt for doubt in doubts]}
            yield replace(picture, facts=facts), probability

    def _write(self, item: Predicted) -> Entry:
        """In one of the threads: the masks of an image to the store."""
        picture, probability = item
        with self.ensemble.cores:
            made = masks_of(probability, picture.geometry, self._predict, exclusive=self.form == "labels")
            entries = self.layout.encode(picture.image_id, made.mask, probability)
            measured = facts_of(made.mask, probability[:, *picture.geometry.inside])
        self.store.save(picture.image_id, entries)
        tidied = {"removed_pixels": made.removed_pixels, "filled_pixels": made.filled_pixels}
        facts = {**picture.facts, **tidied, "parity": self._parity(picture.models), **measured}
        return Entry.of(picture.cache_key, entries, facts)

    def _parity(self, models: Sequence[str]) -> float:
        """How far the engine was from PyTorch with the worst of these models; 0 where it is PyTorch."""
        return max((self.ensemble.parity.get(name, 0.0) for name in models), default=0.0)

    def _commit(self, item: Predicted, entry: Entry) -> None:
        self.store.commit(item[0].image_id, entry)


def facts_of(masks: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float]]:
    """What prediction alone tells of each class's mask, labelled or not, for the journal.

    ``masks`` is bool (classes, rows, columns) at the original size, ``probabilities`` float (classes, rows, columns)
    in the network's square without its padding.
    """
    return {
        "components": [count_components(mask.view(np.uint8)) for mask in masks],
        "predicted_share": [np.count_nonzero(mask) / mask.size for mask in masks],
        "entropy": [mean_entropy(probability) for probability in probabilities],
    }


def fact_columns(facts: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """The journal's numbers as columns of the shard's index; NaN for what was not recorded."""
    nothing = [None] * len(classes)
    cells = {
        f"{fact}_{name}": value
        for fact in FACTS
        for name, value in zip(classes, facts.get(fact) or nothing, strict=True)
    }
    return {name: float("nan") if value is None else float(value) for name, value in cells.items()}
