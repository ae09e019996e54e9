"""Pictures through an ensemble and into a folder of masks: what shards and folders share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.config import Classes, Predict
from segpipe.io.predictions import MaskForm, encode_masks, mask_names, write_masks
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.journal import Journal, recipe
from segpipe.predict.masks import postprocessing
from segpipe.preprocess.geometry import Geometry


@dataclass(frozen=True)
class Picture:
    """A picture in the network's square, (size, size) uint8 or uint16, and how it got there."""

    pixels: np.ndarray
    geometry: Geometry


class MaskWriter:
    """Predicts pictures, and writes each one's masks and then its line in the journal."""

    def __init__(self, ensemble: Ensemble, predict: Predict, form: MaskForm, classes: Classes, masks: Path) -> None:
        self.form, self.journal = form, Journal(masks)
        self._ensemble, self._predict, self._classes, self._masks = ensemble, predict, classes, masks
        self._post = postprocessing(predict, exclusive=form == "labels")

    def names(self, image_id: str) -> list[str]:
        """The mask files of an image."""
        return mask_names(image_id, self.form, self._classes)

    def recipe(self, picture: Any, models: Sequence[str]) -> str:
        """A hash of all that decides the masks; ``picture`` is what tells one picture from another."""
        predict = self._predict
        tidy = [predict.smallest_island, predict.fill_holes]
        return recipe(picture, *self._ensemble.recipe(models), predict.threshold, *tidy, self.form, self._classes)

    def keeps(self, image_id: str, made_by: str) -> bool:
        """Whether the masks on disk are those that predicting again would write."""
        return self.journal.keeps(image_id, made_by, self.names(image_id))

    def predict(self, pictures: Sequence[Picture], models: Sequence[str]) -> Iterator[dict[str, Any]]:
        """One batch: yields for each picture its ``mask`` (classes, rows, columns) at the original size, and more."""
        probabilities = self._ensemble.probabilities(np.stack([picture.pixels for picture in pictures]), models)
        for picture, probability in zip(pictures, probabilities, strict=True):
            yield self._post({"probability": probability, "geometry": picture.geometry})

    def write(
        self, image_id: str, made_by: str, data: Mapping[str, Any], facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write what :meth:`predict` gave; ``facts`` go to the journal beside the numbers of tidied pixels."""
        self._delete(image_id, [form for form in self._forms() if form != self.form])
        files = encode_masks(data["mask"], self.form, self._classes)
        write_masks(self._masks, image_id, files, self.form, self._classes)
        tidied = {name: data[name] for name in ("removed_pixels", "filled_pixels")}
        self.journal.add(image_id, made_by, files, {**(facts or {}), **tidied})

    def discard(self, image_id: str) -> None:
        """Delete an image's masks of earlier calls, which are no longer right; what the journal does not know stays."""
        self._delete(image_id, self._forms())
        self.journal.forget(image_id)

    def _forms(self) -> list[MaskForm]:
        return ["labels", "per_class"] if len(self._classes) > 1 else ["binary"]

    def _delete(self, image_id: str, forms: Sequence[MaskForm]) -> None:
        if image_id not in self.journal:
            return
        for form in forms:
            names = mask_names(image_id, form, self._classes)
            if self.journal.wrote(image_id, names):
                for name in names:
                    (self._masks / name).unlink()
