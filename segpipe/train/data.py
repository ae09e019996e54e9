"""The data loader: from the shards' memory maps to augmented batches on the device, in each epoch's order."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from segpipe.train.augment import RECIPES, Recipe, augment, draw
from segpipe.train.augment_list import ListedAugmentation
from segpipe.train.distributed import Team

# Training pictures: straight from the shards' memory maps to the device, and augmented there.

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


# How an epoch's images are cut into steps, and each step's into the parts of several processes.


@dataclass(frozen=True)
class Batching:
    """``images`` an epoch, at most ``size`` a step. The rest is left out: a lone image upsets batch statistics.

    Raises:
        ConfigError: a step cannot be shared out evenly; then the processes' mean would not be that of the images.
    """

    images: int
    size: int
    processes: int = 1

    def __post_init__(self) -> None:
        if self.per_step % self.processes:
            few = " (there are no more training images)" if self.per_step < self.size else ""
            raise ConfigError(
                f"train.batch_size: {self.per_step} images a step{few} cannot be shared evenly by {self.processes} "
                f"processes. batch_size counts the images of all of them; use a multiple of {self.processes}, or "
                "another --nproc-per-node."
            )

    @property
    def per_step(self) -> int:
        """Images in each step, of all processes."""
        return min(self.size, self.images)

    @property
    def per_process(self) -> int:
        """Images in each step of one process."""
        return self.per_step // self.processes

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.images // self.per_step

    def of_step(self, order: pd.DataFrame, step: int) -> pd.DataFrame:
        """The images of a step, of all processes."""
        return order.iloc[step * self.per_step :][: self.per_step]

    def of_process(self, order: pd.DataFrame, rank: int, first_step: int) -> pd.DataFrame:
        """What process ``rank`` trains on in the steps from ``first_step`` on, in this order."""
        whole = order.iloc[first_step * self.per_step : self.steps * self.per_step]
        places = [place for place in range(len(whole)) if place % self.per_step // self.per_process == rank]
        return whole.iloc[places]


# The training images of each epoch: their order, and one process's part of it as batches on the device.


class Feed:
    """Order and augmentation follow from (seed, epoch, image), so that any step of any epoch can be begun at.

    Raises:
        ConfigError: a step cannot be shared out evenly, or a listed transform is wrong.
    """

    def __init__(
        self, stage: TrainStage, rows: pd.DataFrame, shards: Path, seed: int, team: Team, batch_size: int
    ) -> None:
        self.batching = Batching(len(rows), batch_size, team.size)
        self._rows, self._shards, self._seed, self._team = rows, shards, seed, team
        self._config, self._classes = stage.train, list(stage.classes)
        wanted = stage.train.augment
        self._recipe = RECIPES[wanted] if isinstance(wanted, str) else None
        self._listed = None if isinstance(wanted, str) else ListedAugmentation(wanted, seed, self._classes)

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """This process's part of the epoch's steps from ``first_step`` on, augmented."""
        mine = self.batching.of_process(self._order(epoch), self._team.rank, first_step)
        pictures, size = Pictures(mine, self._shards, len(self._classes)), self.batching.per_process
        device, workers = self._team.device, self._config.workers
        if self._listed:
            return listed_batches(pictures, size, device, False, self._listed, epoch, workers)
        return batches(pictures, size, device, False, self._recipe, self._seed, epoch)

    def names(self, epoch: int, step: int) -> str:
        """The images of a step, of all processes."""
        return ", ".join(self.batching.of_step(self._order(epoch), step)["image_id"])

    def _order(self, epoch: int) -> pd.DataFrame:
        return epoch_order(self._rows, self._seed, epoch)
