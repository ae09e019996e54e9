"""The predict stage: one shard's pictures through the models that never saw their patients."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.errors import InputError
from segpipe.io.predictions import mask_form
from segpipe.log import logger, track
from segpipe.model.card import pictures_seen
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.models import by_name
from segpipe.predict.writer import MaskWriter, Picture
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.store import Store, open_store, write_table
from segpipe.stages import PredictStage
from segpipe.trials import plain_name


def predict_shard(
    stage: PredictStage, shard: Path, models: Sequence[Path], dataset: Path | None, masks: Path, output: Path
) -> None:
    """Predict every usable image of a shard into the folder ``masks``; ``output`` lists what was done.

    With ``dataset`` the models come from this run and an image is predicted only by those that never saw
    its patient, their mean probability deciding. Without, all models predict all images.
    """
    store = open_store(shard)
    predictor = Predictor(stage, store, by_name(models), masks, dataset is None)
    wanted = ["labelled"] if stage.labelled_only else ["labelled", "unlabelled"]
    allowed = _models_by_image(store.table, wanted, dataset, shard.name, list(predictor.folders))
    if dataset:
        predictor.warn_of_known(allowed)
    todo = [index for index, names in enumerate(allowed) if names and not predictor.is_done(index, names)]
    for index, data in track(predictor.predict(todo, allowed), len(todo), f"predict {shard.name}"):
        predictor.write(index, data, allowed[index])
    rows = [predictor.row(index, names) for index, names in enumerate(allowed)]
    predictor.remove_stale([row["image_id"] for row in rows if row["predicted"]])
    write_table(output, pd.DataFrame(rows))
    _log_outcome(shard.name, rows, len(todo))


@dataclass
class Predictor:
    """Pictures of one store through some models."""

    stage: PredictStage
    store: Store
    folders: Mapping[str, Path]
    masks: Path
    given: bool

    def __post_init__(self) -> None:
        stage = self.stage
        ensemble = Ensemble(
            self.folders, stage.classes, stage.preprocess, stage.dicom, stage.predict, decided=stage.engine_on_cpu
        )
        self._engine = ensemble.engine
        form = mask_form(stage.predict.form, stage.classes, stage.label_masks)
        self._batch_size = ensemble.batch_size
        self._writer = MaskWriter(ensemble, stage.predict, form, stage.classes, self.masks)
        # Models of this run never predict patients that they saw; given ones may, and such scores would mean nothing.
        self._seen = ensemble.pictures_seen() if self.given else set()

    def warn_of_known(self, allowed: Sequence[Sequence[str]]) -> None:
        """Tell of pictures that a model of this run saw all the same: in ``model.init``, or as another patient's."""
        seen = {name: pictures_seen(folder) for name, folder in self.folders.items()}
        pairs = zip(self.store.table["picture"], allowed, strict=True)
        known = sum(any(picture in seen[name] for name in names) for picture, names in pairs)
        if known:
            logger.warning(
                "%d of these pictures trained the model that predicts them, as part of model.init or as a duplicate; "
                "their scores are too good", known,
            )  # fmt: skip

    def is_done(self, index: int, names: Sequence[str]) -> bool:
        """Whether the mask on disk is the one that predicting again would write."""
        return self._writer.keeps(self._id(index), self._recipe(index, names))

    def predict(self, todo: Sequence[int], allowed: Sequence[Sequence[str]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index, data); ``data["mask"]`` is bool (classes, rows, columns) at the original size."""
        for names in sorted({tuple(allowed[index]) for index in todo}):
            indices = [index for index in todo if tuple(allowed[index]) == names]
            for start in range(0, len(indices), self._batch_size):
                batch = indices[start : start + self._batch_size]
                pictures = [Picture(self.store.images[index], self._geometry(index)) for index in batch]
                yield from zip(batch, self._writer.predict(pictures, names), strict=True)

    def write(self, index: int, data: dict[str, Any], names: Sequence[str]) -> None:
        """Write an image's files, then its line in the journal."""
        self._writer.write(self._id(index), self._recipe(index, names), data)

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """What the shard's index says of an image; the hash makes new masks new content to later stages."""
        image_id, journal = self._id(index), self._writer.journal
        facts = journal.facts(image_id) if names else {}
        return {
            "image_id": image_id,
            "predicted": bool(names),
            "models": " ".join(names),
            "form": self._writer.form,
            "seen": self.store.table["picture"].iloc[index] in self._seen,
            "masks_sha256": journal.content(image_id) if names else "",
            "removed_pixels": facts.get("removed_pixels", 0),
            "filled_pixels": facts.get("filled_pixels", 0),
            "engine": self._engine,
        }

    def remove_stale(self, image_ids: Sequence[str]) -> None:
        """Delete masks of images that left the shard."""
        wanted = {name for image_id in image_ids for name in self._writer.names(image_id)}
        for name in self._writer.journal.remove_others(set(image_ids), wanted):
            logger.info("deleted %s: its image is no longer predicted here", name)

    def _id(self, index: int) -> str:
        return str(self.store.table["image_id"].iloc[index])

    def _geometry(self, index: int) -> Geometry:
        return Geometry.of_row(self.store.table.iloc[index].to_dict())

    def _recipe(self, index: int, names: Sequence[str]) -> str:
        content = hashlib.sha256(self.store.images[index].tobytes()).hexdigest()
        return self._writer.recipe(f"{content} {self._geometry(index)}", names)


def _models_by_image(
    table: pd.DataFrame, wanted: list[str], dataset: Path | None, shard: str, models: list[str]
) -> list[list[str]]:
    """The models for each image of the shard; none where its status is not ``wanted``, or all models saw it."""
    usable = table["status"].isin(wanted).tolist()
    if dataset is None:
        return [models if use else [] for use in usable]
    rows = pd.read_parquet(dataset, filters=[("shard", "==", shard)]).set_index("image_id")
    missing = set(table["image_id"]) - set(rows.index)
    if missing:
        raise InputError(f"{dataset} does not know {sorted(missing)[0]!r} of shard {shard}; it is older. Run again.")
    rows = rows.loc[table["image_id"]]
    # "" is a patient without a fold, whom no model saw. A model's repeats, fold0-r2 and so on, have its patients.
    unseen: dict[str, Any] = {name: rows[f"role:{plain_name(name)}"].isin(["test", ""]).tolist() for name in models}
    return [[name for name in models if use and unseen[name][index]] for index, use in enumerate(usable)]


def _log_outcome(shard: str, rows: Sequence[Mapping[str, Any]], new: int) -> None:
    predicted = sum(row["predicted"] for row in rows)
    logger.info("shard %s: %d masks, %d of them kept from before", shard, predicted, predicted - new)
    removed, filled = (sum(row[name] for row in rows) for name in ("removed_pixels", "filled_pixels"))
    if removed or filled:
        logger.info("shard %s: %d pixels of small pieces removed, %d of holes filled", shard, removed, filled)
