"""Two plain MONAI trainings as a user would write them after MONAI's tutorials.

``tutorial`` is the 2-D tutorial's: its UNet, Dice loss on a sigmoid, Adam at 0.001, no augmentation. ``tuned`` is what
many add: cross entropy, random affine transforms, and a cosine over all steps. Both read the pictures as segpipe
prepared them, keep them in memory (`CacheDataset`), and keep the epoch with the best Dice on the validation images.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from budget_data import Prepared
from calibration import Best
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.utils import set_determinism

from segpipe.preprocess.store import pack_bits
from segpipe.score.columns import score_table
from segpipe.score.overlap import counts_from_bits
from segpipe.train.seeds import draw_seed

KEYS = ("image", "mask")
BATCH_SIZE = 2
RATE = 1e-3


def tutorial_unet(classes: int) -> UNet:
    """The UNet of MONAI's tutorials."""
    return UNet(
        spatial_dims=2, in_channels=1, out_channels=classes, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2),
        num_res_units=2,
    )  # fmt: skip


class MonaiPeer:
    """One of the two."""

    def __init__(self, data: Prepared, model: str, threads: int, tuned: bool) -> None:
        self.data, self.model, self.threads, self.tuned = data, model, threads, tuned

    def settings(self) -> str:
        """Which of the two."""
        return "tuned" if self.tuned else "tutorial"

    def train(self, epochs: int, output: Path) -> Best:
        """The tutorials' loop."""
        torch.set_num_threads(self.threads)
        set_determinism(draw_seed(0, self.model))
        network, loss_of = tutorial_unet(len(self.data.classes)), self._loss()
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        loader = self._loader("train", self._augmentation(), shuffle=True)
        validation = self._loader("val", [])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
        best = Best(0, "val Dice", -1.0)
        for epoch in range(1, epochs + 1):
            network.train()
            for batch in loader:
                optimizer.zero_grad()
                loss_of(network(batch["image"]), batch["mask"]).backward()
                optimizer.step()
                if self.tuned:
                    schedule.step()
            dice = validation_dice(network, validation)
            if dice > best.value:
                best = Best(epoch, "val Dice", dice)
                torch.save(network.state_dict(), output / "best.pt")
        return best

    @torch.no_grad()
    def test(self, output: Path) -> pd.DataFrame:
        """Scores by segpipe's functions, probabilities cut at 0.5."""
        network = tutorial_unet(len(self.data.classes))
        network.load_state_dict(torch.load(output / "best.pt", weights_only=True))
        network.eval()
        counts = []
        for batch in self._loader("test", []):
            predicted = (torch.sigmoid(network(batch["image"])) > 0.5).numpy()
            pairs = zip(predicted, batch["mask"].numpy() > 0.5, strict=True)
            counts += [counts_from_bits(*map(pack_bits, pair), len(self.data.classes)) for pair in pairs]
        names = self.data.rows(self.model, "test")["image_id"].tolist()
        return score_table(names, np.stack(counts), list(self.data.classes)).sort_values("image_id", ignore_index=True)

    def _loader(self, role: str, augmentation: list[Any], shuffle: bool = False) -> DataLoader:
        fixed = [mt.ScaleIntensityd("image"), mt.EnsureTyped(KEYS, dtype=torch.float32, track_meta=False)]
        pictures = self.data.pictures(self.model, role)
        dataset = CacheDataset(pictures, mt.Compose([*fixed, *augmentation]), progress=False)
        return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=shuffle)

    def _augmentation(self) -> list[Any]:
        if not self.tuned:
            return []
        shift = 0.05 * self.data.size
        affine = mt.RandAffined(
            KEYS, prob=0.8, rotate_range=0.17, scale_range=0.12, translate_range=shift, mode=("bilinear", "nearest"),
            padding_mode="zeros",
        )  # fmt: skip
        return [affine, mt.EnsureTyped(KEYS, track_meta=False)]

    def _loss(self) -> Any:
        dice = DiceLoss(sigmoid=True)
        if not self.tuned:
            return dice
        # For one class this is DiceCELoss(sigmoid=True); for more, its cross entropy is a softmax, but classes overlap.
        entropy = torch.nn.BCEWithLogitsLoss()
        return lambda logits, masks: dice(logits, masks) + entropy(logits, masks)


@torch.no_grad()
def validation_dice(network: torch.nn.Module, loader: DataLoader) -> float:
    """MONAI's metric as its tutorials use it."""
    network.eval()
    metric = DiceMetric(include_background=True)
    post = mt.Compose([mt.Activations(sigmoid=True), mt.AsDiscrete(threshold=0.5)])
    for batch in loader:
        metric([post(one) for one in decollate_batch(network(batch["image"]))], decollate_batch(batch["mask"]))
    return float(metric.aggregate())
