"""Losses between logits (B, C, H, W) and masks (B, C, H, W) of 0 and 1, one channel per class.

Classes may overlap (a heart lies over a lung), so each has its own sigmoid and its own loss, and the
result is the mean over classes and images. MONAI's DiceCELoss is not used: with more than one channel
its cross entropy is a softmax, which makes classes exclude each other.
"""

from collections.abc import Callable, Sequence

import torch
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import FocalLoss
from torch import Tensor, nn
from torch.nn import functional

from segpipe.errors import ConfigError

# One pixel added to both overlap and sum: an empty mask predicted empty costs 0, and an empty mask
# predicted as n pixels costs n / (n + 1), which has a gradient as long as n is small. With MONAI's
# 1e-5 it costs 1 whatever n is, and teaches nothing.
SMOOTH = 1.0


class MultiLabelLoss(nn.Module):
    """The sum of some losses, each a mean over images and classes, computed in float32."""

    def __init__(self, terms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)

    def forward(self, logits: Tensor | Sequence[Tensor], targets: Tensor) -> Tensor:
        """(B, C, H, W), or several of them at falling resolution, and (B, C, H, W) -> scalar.

        Several (deep supervision, Lee et al. 2015) weigh 1, 1/2, 1/4, ..., divided by their sum. A smaller one is
        compared with the share of each of its pixels that the mask covers.
        """
        if isinstance(logits, Tensor):
            return self._one(logits, targets)
        weights = [0.5**level for level in range(len(logits))]
        values = [
            weight / sum(weights) * self._one(level, _shrink(targets, level.shape[2:]))
            for weight, level in zip(weights, logits, strict=True)
        ]
        return torch.stack(values).sum()

    def _one(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape != targets.shape:
            raise ValueError(f"logits are {tuple(logits.shape)} and targets {tuple(targets.shape)}")
        # Sums over 512 x 512 pixels overflow float16 and lose digits in bfloat16.
        with torch.autocast(logits.device.type, enabled=False):
            values = [term(logits.float(), targets.float()) for term in self.terms]
        return torch.stack(values).sum()


def _shrink(targets: Tensor, size: torch.Size) -> Tensor:
    return targets if targets.shape[2:] == size else functional.interpolate(targets.float(), size, mode="area")


def _dice() -> nn.Module:
    # batch=False: one Dice per image and class, so that the loss of an image does not depend on which
    # others it is batched with, nor on how a batch is split over GPUs.
    loss: nn.Module = DiceLoss(sigmoid=True, batch=False, smooth_nr=SMOOTH, smooth_dr=SMOOTH)
    return loss


def _bce() -> nn.Module:
    return nn.BCEWithLogitsLoss()


def _focal() -> nn.Module:
    loss: nn.Module = FocalLoss(gamma=2.0, use_softmax=False)
    return loss


LOSSES: dict[str, tuple[Callable[[], nn.Module], ...]] = {
    "bce": (_bce,),
    "dice": (_dice,),
    "dice_ce": (_dice, _bce),
    "dice_focal": (_dice, _focal),
}


def build_loss(name: str) -> nn.Module:
    """The loss of that name: ``bce``, ``dice`` (Milletari et al. 2016), ``dice_ce`` or ``dice_focal``
    (Lin et al. 2017, gamma 2), the latter two being sums with equal weights."""
    if name not in LOSSES:
        raise ConfigError(f"train.loss: there is no loss {name!r}; choose one of {', '.join(LOSSES)}")
    return MultiLabelLoss([make() for make in LOSSES[name]])
