"""The predict stage: one shard's pictures through the models that never saw their patients."""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config.stages import PredictStage
from segpipe.config.variants import plain_name
from segpipe.errors import InputError
from segpipe.files.space import check_space
from segpipe.log import logger, track
from segpipe.masks.encode import mask_form
from segpipe.models.card import pictures_seen
from segpipe.predict.ensemble import Ensemble, by_name
from segpipe.predict.pipeline import read_ahead
from segpipe.predict.writer import BATCHES_AHEAD, MaskWriter, Picture, fact_columns
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.store import Store, open_store, write_table


def predict_shard(
    stage: PredictStage,
    shard: Path,
    models: Sequence[Path],
    dataset: Path | None,
    masks: Path,
    output: Path,
    threads: int = 1,
) -> None:
    """Predict every usable image of a shard; ``output`` lists what was done.

    Masks go to the folder ``masks`` (:mod:`segpipe.masks.store`). With ``dataset`` the models come from this run and an
    image is predicted only by those that never saw its patient, their mean probability deciding. Without, all models
    predict all images. ``threads`` is how many cores compute; the result is the same for any number.
    """
    store = open_store(shard)
    predictor = Predictor(stage, store, by_name(models), masks, threads)
    wanted = ["labelled"] if stage.labelled_only else ["labelled", "unlabelled"]
    allowed = _models_by_image(store.table, wanted, dataset, shard.name, list(predictor.folders))
    seen = images_seen(store.table, predictor.folders, allowed, dataset)
    if any(seen):
        logger.warning(
            "%d of these images are not scored: a model that predicts them was trained on their pictures, or started "
            "from one (model.init) that was", sum(seen),
        )  # fmt: skip
    with closing(predictor):
        new = predictor.run(allowed, shard.name)
        rows = [{**predictor.row(index, names), "seen": seen[index]} for index, names in enumerate(allowed)]
    write_table(output, pd.DataFrame(rows))
    _log_outcome(shard.name, rows, new)


@dataclass
class Predictor:
    """Pictures of one store through some models."""

    stage: PredictStage
    store: Store
    folders: Mapping[str, Path]
    masks: Path
    threads: int

    def __post_init__(self) -> None:
        stage = self.stage
        self._ensemble = Ensemble(
            self.folders, stage.classes, stage.preprocess, stage.dicom, stage.predict, self.threads,
            decided=stage.engine_on_cpu,
        )  # fmt: skip
        form = mask_form(stage.predict.form, stage.classes, stage.label_masks)
        self._writer = MaskWriter(self._ensemble, stage.predict, form, stage.classes, self.masks)

    def run(self, allowed: Sequence[Sequence[str]], shard: str) -> int:
        """Make all masks that are not there, and leave no others; how many were made."""
        store = self._writer.store
        keys = {index: self._cache_key(index, names) for index, names in enumerate(allowed) if names}
        todo = [index for index, key in keys.items() if not store.keeps(self._id(index), key)]
        taken = set(store.take_over({self._id(index): keys[index] for index in todo}))
        todo = [index for index in todo if self._id(index) not in taken]
        self._check_space(todo, shard)
        self._predict(todo, keys, allowed, shard)
        image_ids = [self._id(index) for index in keys]
        for name in store.keep_only(image_ids):
            logger.info("deleted %s: its image is no longer predicted here", name)
        store.finish()
        return len(todo)

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """What the shard's index says of an image; the hash makes new masks new content to later stages."""
        image_id = self._id(index)
        entry = self._writer.store.journal[image_id] if names else None
        facts = entry.facts if entry else {}
        return {
            "image_id": image_id,
            "predicted": bool(names),
            "models": " ".join(names),
            "form": self._writer.form,
            "masks": self._writer.layout.kind,
            "probabilities": self._writer.layout.probabilities,
            "masks_sha256": entry.content(self._writer.layout.mask_names(image_id)) if entry else "",
            "removed_pixels": facts.get("removed_pixels", 0),
            "filled_pixels": facts.get("filled_pixels", 0),
            "engine": self._ensemble.engine,
            "parity": facts.get("parity", 0.0),
            **fact_columns(facts, list(self.stage.classes)),
        }

    def close(self) -> None:
        """Give open files back."""
        self._writer.store.close()

    def _check_space(self, todo: Sequence[int], shard: str) -> None:
        table = self.store.table.iloc[list(todo)]
        pixels = int((table["rows"] * table["columns"]).sum())
        expected = self._writer.layout.expected_bytes(len(todo), pixels, self.stage.preprocess.size)
        check_space(self.masks, expected, f"new masks of shard {shard}")

    def _predict(
        self, todo: Sequence[int], keys: Mapping[int, str], allowed: Sequence[Sequence[str]], shard: str
    ) -> None:
        batches = self._batches(todo, keys, allowed)
        with read_ahead(batches, BATCHES_AHEAD) as ahead, closing(self._writer.write(ahead)) as finished:
            deque(track(finished, len(todo), f"predict {shard}"), maxlen=0)

    def _batches(
        self, todo: Sequence[int], keys: Mapping[int, str], allowed: Sequence[Sequence[str]]
    ) -> Iterator[list[Picture]]:
        """Pictures that are predicted together: those with the same models."""
        size = self._ensemble.batch_size
        for names in sorted({tuple(allowed[index]) for index in todo}):
            indices = [index for index in todo if tuple(allowed[index]) == names]
            for start in range(0, len(indices), size):
                yield [self._picture(index, keys[index], names) for index in indices[start : start + size]]

    def _picture(self, index: int, key: str, names: Sequence[str]) -> Picture:
        pixels = np.array(self.store.images[index])  # here and not later, when the network waits for it
        return Picture(self._id(index), self._path(index), pixels, self._geometry(index), key, names)

    def _id(self, index: int) -> str:
        return str(self.store.table["image_id"].iloc[index])

    def _path(self, index: int) -> str:
        return str(self.store.table["image"].iloc[index])

    def _geometry(self, index: int) -> Geometry:
        return Geometry.of_row(self.store.table.iloc[index].to_dict())

    def _cache_key(self, index: int, names: Sequence[str]) -> str:
        content = hashlib.sha256(self.store.images[index].tobytes()).hexdigest()
        return self._writer.cache_key(f"{content} {self._geometry(index)}", names)


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


def images_seen(
    table: pd.DataFrame, folders: Mapping[str, Path], allowed: Sequence[Sequence[str]], dataset: Path | None
) -> list[bool]:
    """Whether a model that predicts an image was trained on its picture, so that a score would mean nothing.

    Given models may have been. Models of this run are kept from the patients of their fold, but ``model.init``, or a
    duplicate under another patient's name, may have shown them a picture; with ``dataset`` that is so for all images
    of its patient.
    """
    pictures = table["picture"]
    whole = pd.read_parquet(dataset, columns=["patient", "picture"]) if dataset else None
    seen: dict[str, pd.Series] = {}
    for name, folder in folders.items():
        hashes = pictures_seen(folder)
        seen[name] = pictures.isin(hashes)
        if whole is not None:
            patients = set(whole.loc[whole["picture"].isin(hashes), "patient"]) - {""}
            seen[name] |= table["patient"].isin(patients)
    return [any(seen[name].iloc[index] for name in names) for index, names in enumerate(allowed)]


def _log_outcome(shard: str, rows: Sequence[Mapping[str, Any]], new: int) -> None:
    predicted = sum(row["predicted"] for row in rows)
    logger.info("shard %s: %d masks, %d of them kept from before", shard, predicted, predicted - new)
    removed, filled = (sum(row[name] for row in rows) for name in ("removed_pixels", "filled_pixels"))
    if removed or filled:
        logger.info("shard %s: %d pixels of small pieces removed, %d of holes filled", shard, removed, filled)
