"""What train_step.py measures: each contestant offers a bare step on a fixed batch, and a source of real batches.

A contestant's constructor does what comes before training (imports, data); `build` makes network and optimiser. So its
memory can be told from that of Python and its libraries.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceLoss
from monai.networks.nets import UNet

from segpipe.config.load import parse_config
from segpipe.config.stages import TrainStage, stage_configs
from segpipe.models.device import fix_arithmetic
from segpipe.models.networks.registry import parameter_count
from segpipe.preprocess.store import open_store, unpack_bits
from segpipe.train.data import TrainLoader
from segpipe.train.distributed import ProcessGroup
from segpipe.train.step import TrainStep

CLASSES = ("lung", "heart")


@dataclass(frozen=True)
class Setting:
    """What all contestants have in common."""

    store: Path
    size: int
    batch_size: int
    threads: int
    workers: int
    device: str


class Contestant(Protocol):
    """A way to train."""

    batch_size: int

    def build(self) -> int:
        """Make network and optimiser; the number of parameters."""

    def source(self, epoch: int) -> Iterator[Any]:
        """The batches of an epoch."""

    def step(self, batch: Any) -> None:
        """Forward, loss, backward, optimiser."""


class Segpipe:
    """segpipe's own batches and step for a network of its registry; ``augment`` as in the config."""

    def __init__(self, setting: Setting, model: dict[str, Any], augment: str) -> None:
        self.setting, self.batch_size = setting, setting.batch_size
        self.stage = _stage(setting, model, augment)
        self.team = ProcessGroup(torch.device(setting.device))
        rows = open_store(setting.store / "0000").table
        self.rows = rows.assign(shard="0000", row=range(len(rows)))
        self.feed = TrainLoader(self.stage, self.rows, setting.store, 0, self.team, self.batch_size)

    def build(self) -> int:
        """The network in training mode."""
        train = self.stage.train
        fix_arithmetic(train.threads, train.deterministic, train.tf32)
        self.learner = TrainStep(self.stage, 0, self.team)
        self.learner.begin_epoch(1)
        return parameter_count(self.learner.network)

    def source(self, epoch: int) -> Iterator[Any]:
        """From the memory maps, augmented on the device."""
        return self.feed.batches(epoch, 0)

    def step(self, batch: Any) -> None:
        """That of the training loop."""
        self.learner.run(*batch, 1e-4, 1)


def _stage(setting: Setting, model: dict[str, Any], augment: str) -> TrainStage:
    train = {"augment": augment, "batch_size": setting.batch_size, "threads": setting.threads, "device": setting.device}
    data = {"images": "{p}.png", "masks": {name: f"{name}/{{p}}.png" for name in CLASSES}}
    config = parse_config({"data": data, "preprocess": {"size": setting.size}, "model": model, "train": train})
    return TrainStage.model_validate(stage_configs(config, [])["train"].model_dump())


class MonaiLoop(Segpipe):
    """Batches of MONAI's tutorials: Dataset, DataLoader, CPU transforms per image; network and step are segpipe's."""

    def __init__(self, setting: Setting, model: dict[str, Any]) -> None:
        super().__init__(setting, model, "none")
        store = open_store(setting.store / "0000")
        items = [
            {"image": np.float32(image[None]) / 255, "mask": np.float32(unpack_bits(bits, len(CLASSES)))}
            for image, bits in zip(store.images, store.masks, strict=True)
        ]
        self.dataset = CacheDataset(items, self._transforms(), progress=False)

    def _transforms(self) -> mt.Compose:
        affine = mt.RandAffined(
            ("image", "mask"), prob=0.8, rotate_range=0.17, scale_range=0.12,
            translate_range=0.05 * self.setting.size, mode=("bilinear", "nearest"), padding_mode="zeros",
        )  # fmt: skip
        greys = [
            mt.RandAdjustContrastd("image", prob=0.5, gamma=(0.7, 1.4)),
            mt.RandScaleIntensityd("image", prob=0.3, factors=0.15),
            mt.RandShiftIntensityd("image", prob=0.3, offsets=0.08),
            mt.RandGaussianNoised("image", prob=0.2, std=0.03),
        ]
        return mt.Compose([affine, *greys])

    def source(self, epoch: int) -> Iterator[Any]:
        """In the DataLoader's workers, or in this process if there are none."""
        torch.manual_seed(epoch)
        device, pin = self.team.device, self.setting.device == "cuda"
        options = {"batch_size": self.batch_size, "num_workers": self.setting.workers, "pin_memory": pin}
        for part in DataLoader(self.dataset, shuffle=True, drop_last=True, **options):
            yield tuple(part[key].to(device, non_blocking=pin) for key in ("image", "mask"))


class MonaiTutorial(MonaiLoop):
    """The same loop with the tutorials' own network, loss and optimiser."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, {})

    def build(self) -> int:
        """UNet, Dice, Adam."""
        torch.set_num_threads(self.setting.threads)
        network = UNet(
            spatial_dims=2, in_channels=1, out_channels=len(CLASSES), channels=(16, 32, 64, 128, 256),
            strides=(2, 2, 2, 2), num_res_units=2,
        )  # fmt: skip
        self.network, self.loss_of = network.to(self.team.device).train(), DiceLoss(sigmoid=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3)
        return parameter_count(self.network)

    def step(self, batch: Any) -> None:
        """The tutorials'."""
        self.optimizer.zero_grad()
        self.loss_of(self.network(batch[0]), batch[1]).backward()
        self.optimizer.step()
