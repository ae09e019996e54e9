"""The predict stage: one shard's pictures through the models that never saw their patients."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from segpipe.errors import InputError
from segpipe.io.predictions import encode_masks, mask_form, mask_names, write_masks
from segpipe.log import logger, track
from segpipe.model.card import check_contract, pictures_seen, read_card
from segpipe.model.device import choose_device, fix_arithmetic
from segpipe.model.inputs import to_input
from segpipe.model.versions import versions
from segpipe.model.weights import load_model, weights_hash
from segpipe.predict.journal import Journal, recipe
from segpipe.predict.masks import build_inferer, postprocessing
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.store import Store, open_store, write_table
from segpipe.stages import PredictStage


def predict_shard(
    stage: PredictStage, shard: Path, models: Sequence[Path], dataset: Path | None, masks: Path, output: Path
) -> None:
    """Predict every usable image of a shard into the folder ``masks``; ``output`` lists what was done.

    With ``dataset`` the models come from this run and an image is predicted only by those that never saw
    its patient, their mean probability deciding. Without, all models predict all images.
    """
    fix_arithmetic(stage.predict.threads)
    store = open_store(shard)
    predictor = Predictor(stage, store, {folder.name: folder for folder in models}, masks, dataset is None)
    allowed = _models_by_image(store.table, dataset, shard.name, list(predictor.folders))
    todo = [index for index, names in enumerate(allowed) if names and not predictor.is_done(index, names)]
    for index, mask in track(predictor.predict(todo, allowed), len(todo), f"predict {shard.name}"):
        predictor.write(index, mask, allowed[index])
    rows = [predictor.row(index, names) for index, names in enumerate(allowed)]
    predictor.remove_stale([row["image_id"] for row in rows if row["predicted"]])
    write_table(output, pd.DataFrame(rows))
    predicted = sum(row["predicted"] for row in rows)
    logger.info("shard %s: %d masks, %d of them kept from before", shard.name, predicted, predicted - len(todo))


@dataclass
class Predictor:
    """Pictures of one store through some models; models are loaded when first needed."""

    stage: PredictStage
    store: Store
    folders: Mapping[str, Path]
    masks: Path
    given: bool

    def __post_init__(self) -> None:
        stage = self.stage
        self.form = mask_form(stage.predict.masks, stage.classes, stage.label_masks)
        self._device = choose_device(stage.predict.device)
        self._inferer = build_inferer(stage.predict, stage.preprocess.size)
        self._post = postprocessing(stage.predict.threshold, exclusive=self.form == "labels")
        self._journal = Journal(self.masks)
        self._networks: dict[str, nn.Module] = {}
        for folder in self.folders.values():
            check_contract(read_card(folder), folder, stage.classes, stage.preprocess, stage.dicom)
        # Models of this run never predict what they saw; given ones may, and such scores would mean nothing.
        self._seen = set().union(*(pictures_seen(folder) for folder in self.folders.values())) if self.given else set()
        self._hashes = {name: weights_hash(folder) for name, folder in self.folders.items()}

    def is_done(self, index: int, names: Sequence[str]) -> bool:
        """Whether the mask on disk is the one that predicting again would write."""
        image_id = self.store.table["image_id"].iloc[index]
        return self._journal.keeps(image_id, self._recipe(index, names), self._names(image_id))

    def predict(self, todo: Sequence[int], allowed: Sequence[Sequence[str]]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, mask); a mask is bool (classes, rows, columns) at the original size."""
        for names in sorted({tuple(allowed[index]) for index in todo}):
            indices = [index for index in todo if tuple(allowed[index]) == names]
            for start in range(0, len(indices), self.stage.predict.batch_size):
                batch = indices[start : start + self.stage.predict.batch_size]
                for index, probability in zip(batch, self._probabilities(batch, names), strict=True):
                    data = self._post({"probability": probability, "geometry": self._geometry(index)})
                    yield index, data["mask"]

    def write(self, index: int, mask: np.ndarray, names: Sequence[str]) -> None:
        """Write an image's files, then its line in the journal."""
        image_id = self.store.table["image_id"].iloc[index]
        files = encode_masks(mask, self.form, self.stage.classes)
        write_masks(self.masks, image_id, files, self.form, self.stage.classes)
        self._journal.add(image_id, self._recipe(index, names), files)

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """What the shard's index says of an image; the hash makes new masks new content to later stages."""
        image_id = self.store.table["image_id"].iloc[index]
        return {
            "image_id": image_id,
            "predicted": bool(names),
            "models": " ".join(names),
            "form": self.form,
            "seen": self.store.table["picture"].iloc[index] in self._seen,
            "masks_sha256": self._journal.content(image_id) if names else "",
        }

    def remove_stale(self, image_ids: Sequence[str]) -> None:
        """Delete masks of images that left the shard."""
        wanted = {name for image_id in image_ids for name in self._names(image_id)}
        for name in self._journal.remove_others(set(image_ids), wanted):
            logger.info("deleted %s: its image is no longer predicted here", name)

    @torch.no_grad()
    def _probabilities(self, batch: Sequence[int], names: Sequence[str]) -> np.ndarray:
        """Mean over the models of each class's probability, float32 (batch, classes, size, size)."""
        # A batch of one takes another convolution kernel, which rounds differently; two are always alike.
        rows = batch if len(batch) > 1 else [*batch, *batch]
        images = self.store.images[rows].astype(np.float32) / np.iinfo(self.store.images.dtype).max
        inputs = to_input(torch.from_numpy(images[:, np.newaxis]).to(self._device))
        total = sum(torch.sigmoid(self._inferer(inputs, self._network(name)).float()) for name in names)
        assert isinstance(total, torch.Tensor)
        return (total / len(names)).cpu().numpy()[: len(batch)]

    def _network(self, name: str) -> nn.Module:
        if name not in self._networks:
            self._networks[name] = load_model(self.folders[name]).to(self._device)
        return self._networks[name]

    def _geometry(self, index: int) -> Geometry:
        return Geometry.of_row(self.store.table.iloc[index].to_dict())

    def _names(self, image_id: str) -> list[str]:
        return mask_names(image_id, self.form, self.stage.classes)

    def _recipe(self, index: int, names: Sequence[str]) -> str:
        predict = self.stage.predict
        content = hashlib.sha256(self.store.images[index].tobytes()).hexdigest()
        weights = [self._hashes[name] for name in names]
        settings = [predict.threshold, predict.inferer, predict.threads, self.form, self.stage.classes]
        return recipe(content, self._geometry(index), *weights, *settings, *versions(), self._device.type)


def _models_by_image(table: pd.DataFrame, dataset: Path | None, shard: str, models: list[str]) -> list[list[str]]:
    """The models for each image of the shard; none for quarantined images and those all models saw."""
    usable = (table["status"] != "quarantined").tolist()
    if dataset is None:
        return [models if use else [] for use in usable]
    rows = pd.read_parquet(dataset, filters=[("shard", "==", shard)]).set_index("image_id")
    missing = set(table["image_id"]) - set(rows.index)
    if missing:
        raise InputError(f"{dataset} does not know {sorted(missing)[0]!r} of shard {shard}; it is older. Run again.")
    rows = rows.loc[table["image_id"]]
    # "" is a patient without a fold, whom no model saw.
    unseen: dict[str, Any] = {name: rows[f"role:{name}"].isin(["test", ""]).tolist() for name in models}
    return [[name for name in models if use and unseen[name][index]] for index, use in enumerate(usable)]
