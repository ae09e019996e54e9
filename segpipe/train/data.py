"""Training pictures, straight from the shards' memory maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from segpipe.preprocess.store import Store, open_store, unpack_bits
from segpipe.samples.shards import unit_hash
from segpipe.train.augment import Augmentation


class Pictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pictures of some rows of the dataset table, augmented for one epoch or left as they are.

    Items are ``image`` (1, size, size) float32 in [0, 1] and ``mask`` (classes, size, size) float32 0/1.
    """

    def __init__(
        self, rows: pd.DataFrame, shards: Path, classes: int, augmentation: Augmentation | None = None, epoch: int = 0
    ) -> None:
        self.ids = rows["image_id"].tolist()
        self._places = list(zip(rows["shard"], rows["row"], strict=True))
        self._shards, self._classes = shards, classes
        self._augmentation, self._epoch = augmentation, epoch
        self._open: dict[str, Store] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        shard, row = self._places[index]
        store = self._store(shard)
        pictures = {
            "image": store.images[row][np.newaxis].astype(np.float32) / np.iinfo(store.images.dtype).max,
            "mask": unpack_bits(np.asarray(store.masks[row]), self._classes),
        }
        if self._augmentation:
            augmented = self._augmentation(pictures, self.ids[index], self._epoch)
            pictures = {key: np.asarray(augmented[key]) for key in ("image", "mask")}
        image = torch.from_numpy(np.ascontiguousarray(pictures["image"], np.float32))
        mask = torch.from_numpy(np.ascontiguousarray(pictures["mask"], np.float32))
        return image, mask

    def _store(self, shard: str) -> Store:
        if shard not in self._open:
            self._open[shard] = open_store(self._shards / shard)
        return self._open[shard]


def epoch_order(rows: pd.DataFrame, seed: int, epoch: int) -> pd.DataFrame:
    """The rows shuffled for an epoch; each image's place follows from (seed, epoch, image) alone."""
    draws = [unit_hash(f"{seed}/{epoch}/order/{image_id}") for image_id in rows["image_id"]]
    return rows.iloc[np.argsort(draws, kind="stable")]


def batches(pictures: Pictures, batch_size: int, workers: int, drop_last: bool) -> Iterator[Sequence[torch.Tensor]]:
    """Batches in the pictures' order; the number of workers changes the speed and nothing else."""
    yield from DataLoader(
        pictures, batch_size=batch_size, num_workers=workers, drop_last=drop_last, pin_memory=torch.cuda.is_available()
    )
