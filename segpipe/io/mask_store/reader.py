"""Finished masks for the stages that come later, whatever kind of store holds them."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Classes
from segpipe.errors import InputError
from segpipe.io.mask_store.layout import ENDINGS, Kind, Layout, masks_of, probability_of
from segpipe.io.mask_store.place import Place
from segpipe.io.predictions import MaskForm


class MaskReader:
    """Masks and probabilities by image; a context manager.

    Raises:
        InputError: there is no such store; or, from its methods, an image is missing or damaged.
    """

    def __init__(self, place: Place, kind: Kind, form: MaskForm, classes: Classes) -> None:
        self._layout = Layout(classes, form, kind)
        self._where = place.finished(kind)
        self._index = place.folder.parent.parent / "predictions" / f"{place.folder.name}.parquet"
        try:
            self._found = place.open(kind)
        except (OSError, ValueError):
            raise InputError(self._complaint(str(self._where))) from None

    @classmethod
    def of_shard(cls, masks: Path, predictions: pd.DataFrame, classes: Classes) -> "MaskReader":
        """That of a shard whose ``masks`` are there, in the kind of store and the form that the table of predictions
        names; without a row it may be any."""
        first: Any = predictions.iloc[0] if len(predictions) else {"masks": "files", "form": "per_class"}
        return cls(Place.of_shard(masks), first["masks"], first["form"], classes)

    def masks(self, image_id: str) -> np.ndarray:
        """The masks of an image, (classes, rows, columns) bool at the original size."""
        layout = self._layout
        names = layout.mask_names(image_id)
        try:
            return masks_of({name: self._found.read(name) for name in names}, layout.form, layout.classes)
        except (KeyError, OSError, ValueError):
            raise InputError(self._complaint(f"{names[0]} of {self._where}")) from None

    def probabilities(self, image_id: str) -> np.ndarray:
        """The probabilities of an image, float32 (classes, size, size) in the network's square.

        :func:`segpipe.preprocess.probabilities.at_original_size` brings them to the picture's size.
        """
        for kind, ending in ENDINGS.items():
            names = replace(self._layout, probabilities=kind).probability_names(image_id)
            try:
                return np.stack([probability_of(name, self._found.read(name)) for name in names])
            except KeyError:
                continue
            except (OSError, ValueError):
                raise InputError(self._complaint(f"{image_id}.*{ending} of {self._where}")) from None
        raise InputError(
            f"{self._where} has no probabilities of {image_id}. Set predict.probabilities to uint8 or float16 and run "
            "again; all images are predicted once more."
        )

    def close(self) -> None:
        """Give open files back."""
        self._found.close()

    def __enter__(self) -> "MaskReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _complaint(self, what: str) -> str:
        return (
            f"The predicted mask {what} is missing or damaged. Delete {self._index} and run again; masks that are "
            "right are kept."
        )
