"""The data loader: from the shards' memory maps to augmented batches on the device, in each epoch's order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError
from segpipe.preprocess.store import Store, open_store, unpack_bits
from segpipe.samples.shards import unit_hash
from segpipe.train.augment import POLICIES, AugmentationPolicy, augment, draw
from segpipe.train.augment_list import ListedAugmentation
from segpipe.train.distributed import ProcessGroup

Batch = tuple[Tensor, Tensor]
"""Images (n, 1, size, size) float32 in [0, 1] and masks (n, classes, size, size) float32 0/1."""


class TrainLoader:
    """The training images of each epoch in steps of ``batch_size``, and one process's part of each step.

    Order and augmentation follow from (seed, epoch, image), so that any step of any epoch can be begun at. What is
    left over after an epoch's last whole step is left out: a lone image upsets batch statistics.

    Raises:
        ConfigError: a step cannot be shared out evenly, so that the processes' mean would not be that of the images;
            or a listed transform is wrong.
    """

    def __init__(
        self, stage: TrainStage, rows: pd.DataFrame, shards: Path, seed: int, group: ProcessGroup, batch_size: int
    ) -> None:
        self._rows, self._shards, self._seed, self._group = rows, shards, seed, group
        self._classes, self._workers = list(stage.classes), stage.train.workers
        self.per_step = min(batch_size, len(rows))  # images in each step, of all processes
        self.per_process = self.per_step // group.size
        self.steps = len(rows) // self.per_step  # of an epoch
        if self.per_step % group.size:
            few = " (there are no more training images)" if self.per_step < batch_size else ""
            raise ConfigError(
                f"train.batch_size: {self.per_step} images a step{few} cannot be shared evenly by {group.size} "
                f"processes. batch_size counts the images of all of them; use a multiple of {group.size}, or "
                "another --nproc-per-node."
            )
        wanted = stage.train.augment
        self._augmentation: AugmentationPolicy | ListedAugmentation = (
            POLICIES[wanted] if isinstance(wanted, str) else ListedAugmentation(wanted, seed, self._classes)
        )

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """This process's part of the epoch's steps from ``first_step`` on, augmented."""
        dataset = ShardDataset(self.of_process(epoch, first_step), self._shards, len(self._classes))
        size, device = self.per_process, self._group.device
        if isinstance(self._augmentation, ListedAugmentation):
            return listed_batches(dataset, size, device, self._augmentation, epoch, self._workers)
        return batches(dataset, size, device, partial(augmented, self._augmentation, self._seed, epoch))

    def of_process(self, epoch: int, first_step: int) -> pd.DataFrame:
        """The images of this process in the epoch's steps from ``first_step`` on, in their order."""
        whole = self._order(epoch).iloc[first_step * self.per_step : self.steps * self.per_step]
        ranks = np.arange(len(whole)) % self.per_step // self.per_process
        return whole.iloc[np.flatnonzero(ranks == self._group.rank)]

    def names(self, epoch: int, step: int) -> str:
        """The images of a step, of all processes."""
        return ", ".join(self._order(epoch).iloc[step * self.per_step :][: self.per_step]["image_id"])

    def _order(self, epoch: int) -> pd.DataFrame:
        return epoch_order(self._rows, self._seed, epoch)


def epoch_order(rows: pd.DataFrame, seed: int, epoch: int) -> pd.DataFrame:
    """The rows shuffled for an epoch; each image's place follows from (seed, epoch, image) alone."""
    draws = [unit_hash(f"{seed}/{epoch}/order/{image_id}") for image_id in rows["image_id"]]
    return rows.iloc[np.argsort(draws, kind="stable")]


class ShardDataset:
    """Stored images and masks of some rows of the dataset table, in their order."""

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


def batches(
    dataset: ShardDataset,
    batch_size: int,
    device: torch.device,
    augmentation: Callable[[Batch, Sequence[str]], Batch] | None = None,
) -> Iterator[Batch]:
    """Batches in the dataset's order, on the device; ``augmentation`` gets them with the images' ids.

    A thread reads the next batch while the device works on this one.
    """
    pin = device.type == "cuda"
    groups = [range(start, min(start + batch_size, len(dataset))) for start in range(0, len(dataset), batch_size)]
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(dataset.gather, groups[0], pin) if groups else None
        for group, following in zip(groups, [*groups, None][1:], strict=True):
            assert coming is not None
            stored, bits = coming.result()
            coming = reader.submit(dataset.gather, following, pin) if following else None
            stored, bits = stored.to(device, non_blocking=True), bits.to(device, non_blocking=True)
            batch = to_values(stored, bits, dataset.classes)
            yield augmentation(batch, [dataset.ids[index] for index in group]) if augmentation else batch


def to_values(images: Tensor, bits: Tensor, classes: int) -> Batch:
    """Stored integers (n, size, size) to grey values in [0, 1] and one channel of 0/1 per class."""
    top = torch.iinfo(images.dtype).max
    # unsigned types of more than 8 bits know no shifts in torch
    wide = bits if bits.dtype == torch.uint8 else bits.to(torch.int64)
    masks = torch.stack([(wide >> number) & 1 for number in range(classes)], 1)
    return images[:, None].float() / top, masks.float()


def augmented(policy: AugmentationPolicy, seed: int, epoch: int, batch: Batch, image_ids: Sequence[str]) -> Batch:
    """A batch augmented on its device, each image as drawn for it."""
    return augment(*batch, draw(policy, seed, epoch, image_ids))


def listed_batches(
    dataset: ShardDataset,
    batch_size: int,
    device: torch.device,
    augmentation: ListedAugmentation,
    epoch: int,
    workers: int,
) -> Iterator[Batch]:
    """As :func:`batches`, by a list of MONAI transforms; the number of workers changes the speed and nothing else."""
    listed = _Listed(dataset, augmentation, epoch)
    for part in DataLoader(listed, batch_size, num_workers=workers, pin_memory=device.type == "cuda"):
        images, masks = (tensor.to(device, non_blocking=True) for tensor in part)
        yield images, masks


class _Listed(Dataset[Batch]):
    """Images augmented one by one by a list of MONAI transforms."""

    def __init__(self, dataset: ShardDataset, augmentation: ListedAugmentation, epoch: int) -> None:
        self._dataset, self._augmentation, self._epoch = dataset, augmentation, epoch

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Batch:
        image, bits = self._dataset.read(index)
        given = {
            "image": image[np.newaxis].astype(np.float32) / np.iinfo(image.dtype).max,
            "mask": unpack_bits(np.asarray(bits), self._dataset.classes),
        }
        changed = self._augmentation(given, self._dataset.ids[index], self._epoch)
        image, mask = (np.ascontiguousarray(np.asarray(changed[key]), np.float32) for key in ("image", "mask"))
        return torch.from_numpy(image), torch.from_numpy(mask)
