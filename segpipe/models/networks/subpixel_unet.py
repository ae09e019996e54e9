"""A U-Net that works at a fraction of the picture's resolution and loses no pixel of it.

Neighbouring pixels become channels (space to depth), the U-Net works on those, and its output channels become
neighbouring pixels again (sub-pixel convolution, W. Shi et al. 2016). Convolutions at full and half resolution,
which cost a U-Net as much as its deeper levels and see less, are left out; outlines still lie where single pixels
put them. The decoder is lighter than the encoder: it adds the skips (J. Long et al. 2015) and convolves once a level.
"""

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from segpipe.models.networks.layers import upsample_nearest

SLOPE = 0.1  # of LeakyReLU


class ResidualBlock(nn.Module):
    """Convolutions 3x3 beside a shortcut: (B, i, H, W) -> (B, o, H/stride, W/stride), sizes rounded up."""

    def __init__(self, inputs: int, outputs: int, convolutions: int, stride: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(convolutions):
            first = number == 0
            layers += [] if first else [nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [
                nn.Conv2d(inputs if first else outputs, outputs, 3, stride if first else 1, padding=1, bias=False),
                _norm(norm, outputs),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Sum of both ways, then LeakyReLU."""
        return F.leaky_relu(self.convolutions(x) + self.shortcut(x), SLOPE, inplace=True)


class SubpixelUNet(nn.Module):
    """Levels of ``channels``, the first at 1/``factor`` of the picture's resolution, each next at half of it."""

    def __init__(
        self, classes: int, channels: Sequence[int], factor: int, norm: str, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        self.factor = factor
        inputs = [factor * factor, *channels[:-1]]
        self.encoder = nn.ModuleList(
            ResidualBlock(i, o, 2, 1 if level == 0 else 2, norm)
            for level, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )
        # The decoder's lists run from the deepest level upwards, in the order in which they are used.
        rising = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.reduce = nn.ModuleList(nn.Conv2d(i, o, 1, bias=False) for i, o in rising)
        self.decoder = nn.ModuleList(ResidualBlock(o, o, 1, 1, norm) for _, o in rising)
        self.output = nn.Conv2d(channels[0], classes * factor * factor, 1)
        self.coarse_outputs = nn.ModuleList(
            nn.Conv2d(o, classes, 1) for _, o in (rising[:-1] if deep_supervision else [])
        )

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What fine-tuning may keep as it was given."""
        return list(self.encoder.parameters())

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(B, 1, H, W) -> (B, classes, H, W), H and W multiples of the factor.

        While training with deep supervision a list: the same, then logits of falling resolution.
        """
        x = F.pixel_unshuffle(x, self.factor)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        coarse = []
        for level, (reduce, block) in enumerate(zip(self.reduce, self.decoder, strict=True)):
            skip = skips.pop()
            x = upsample_nearest(reduce(x), 2)[..., : skip.shape[2], : skip.shape[3]]
            x = block(x + skip)
            if self.training and level < len(self.coarse_outputs):
                coarse.append(self.coarse_outputs[level](x))
        logits = F.pixel_shuffle(self.output(x), self.factor)
        return [logits, *reversed(coarse)] if coarse else logits


def _norm(name: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if name == "batch" else nn.InstanceNorm2d(channels, affine=True)
