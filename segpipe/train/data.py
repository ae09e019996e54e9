"""Training pictures: straight from the shards' memory maps to the device, and augmented there."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segpipe.preprocess.store import Store, open_store, unpack_bits
from segpipe.samples.shards import unit_hash
from segpipe.train.augment.batched import augment
from segpipe.train.augment.draws import Recipe, draw
from segpipe.train.augment.listed import ListedAugmentation

Batch = tuple[Tensor, Tensor]
"""Images (n, 1, size, size) float32 in [0, 1] and masks (n, classes, size, size) float32 0/1."""


class Pictures:
    """Stored pictures of some rows of the dataset table, in their order."""

    def __init__(self, rows: pd.DataFrame, shards: Path, classes: int) -> None:
        self.ids = rows["image_id"].tolist()
        self.classes = classes
        self._places = list(zip(rows["shard"], rows["row"], strict=True))
        self._shards = shards
        self._open: dict[str, Store] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask as stored: (size, size) grey values, and bits."""
        shard, row = self._places[index]
        if shard not in self._open:
            self._open[shard] = open_store(self._shards / shard)
        store = self._open[shard]
        return store.images[row], store.masks[row]

    def gather(self, indices: Sequence[int], pin: bool) -> Batch:
        """Some of them as two tensors of stored values, pinned where they go to a GPU."""
        read = [self.read(index) for index in indices]
        images = torch.from_numpy(np.stack([image for image, _ in read]))
        masks = torch.from_numpy(np.stack([mask for _, mask in read]))
        return (images.pin_memory(), masks.pin_memory()) if pin else (images, masks)


def epoch_order(rows: pd.DataFrame, seed: int, epoch: int) -> pd.DataFrame:
    """The rows shuffled for an epoch; each image's place follows from (seed, epoch, image) alone."""
    draws = [unit_hash(f"{seed}/{epoch}/order/{image_id}") for image_id in rows["image_id"]]
    return rows.iloc[np.argsort(draws, kind="stable")]


def batches(
    pictures: Pictures,
    batch_size: int,
    device: torch.device,
    drop_last: bool = False,
    recipe: Recipe | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Iterator[Batch]:
    """Batches in the pictures' order, on the device; with a ``recipe`` augmented there.

    A thread reads the next batch while the device works on this one.
    """
    ends = range(0, len(pictures) - batch_size + 1 if drop_last else len(pictures), batch_size)
    groups = [range(start, min(start + batch_size, len(pictures))) for start in ends]
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(pictures.gather, groups[0], device.type == "cuda") if groups else None
        for group, following in zip(groups, [*groups, None][1:], strict=True):
            assert coming is not None
            stored, bits = coming.result()
            coming = reader.submit(pictures.gather, following, device.type == "cuda") if following else None
            stored, bits = stored.to(device, non_blocking=True), bits.to(device, non_blocking=True)
            images, masks = to_values(stored, bits, pictures.classes)
            if recipe:
                draws = draw(recipe, seed, epoch, [pictures.ids[index] for index in group])
                images, masks = augment(images, masks, draws)
            yield images, masks


def to_values(images: Tensor, bits: Tensor, classes: int) -> Batch:
    """Stored integers (n, size, size) to grey values in [0, 1] and one channel of 0/1 per class."""
    top = torch.iinfo(images.dtype).max
    # unsigned types of more than 8 bits know no shifts in torch
    wide = bits if bits.dtype == torch.uint8 else bits.to(torch.int64)
    masks = torch.stack([(wide >> number) & 1 for number in range(classes)], 1)
    return images[:, None].float() / top, masks.float()


class _Listed(Dataset[Batch]):
    """Pictures augmented one by one by a list of MONAI transforms."""

    def __init__(self, pictures: Pictures, augmentation: ListedAugmentation, epoch: int) -> None:
        self._pictures, self._augmentation, self._epoch = pictures, augmentation, epoch

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Batch:
        image, bits = self._pictures.read(index)
        given = {
            "image": image[np.newaxis].astype(np.float32) / np.iinfo(image.dtype).max,
            "mask": unpack_bits(np.asarray(bits), self._pictures.classes),
        }
        augmented = self._augmentation(given, self._pictures.ids[index], self._epoch)
        image, mask = (np.ascontiguousarray(np.asarray(augmented[key]), np.float32) for key in ("image", "mask"))
        return torch.from_numpy(image), torch.from_numpy(mask)


def listed_batches(
    pictures: Pictures,
    batch_size: int,
    device: torch.device,
    drop_last: bool,
    augmentation: ListedAugmentation,
    epoch: int,
    workers: int,
) -> Iterator[Batch]:
    """As :func:`batches`, by a list of MONAI transforms; the number of workers changes the speed and nothing else."""
    pin = device.type == "cuda"
    dataset = _Listed(pictures, augmentation, epoch)
    for part in DataLoader(dataset, batch_size, num_workers=workers, drop_last=drop_last, pin_memory=pin):
        images, masks = (tensor.to(device, non_blocking=True) for tensor in part)
        yield images, masks
