"""A U-Net without pooling, well known from tutorials: strided convolutions down, nearest neighbour up.

The layout is that of O. Ronneberger et al. 2015; mirrored borders, dropout of whole channels and
LeakyReLU replace zero padding, none and ReLU.
"""

import torch
from torch import Tensor, nn

from segpipe.models.networks.layers import reflect_pad, upsample_nearest

LEVELS = 5


class ReflectConv(nn.Module):
    """A 3x3 convolution without bias over mirrored borders: (B, i, H, W) -> (B, o, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mirror by one pixel, then convolve."""
        convolved: Tensor = self.convolution(reflect_pad(x, 1))
        return convolved


def _block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H, W), two convolutions."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            ReflectConv(channels, outputs),
            nn.BatchNorm2d(outputs),
            nn.Dropout2d(dropout),
            nn.LeakyReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _halve(channels: int) -> nn.Sequential:
    """(B, channels, H, W) -> (B, channels, H/2, W/2)."""
    return nn.Sequential(
        ReflectConv(channels, channels, stride=2), nn.BatchNorm2d(channels), nn.LeakyReLU(inplace=True)
    )


class UNetStrided(nn.Module):
    """Five levels of ``width``, 2 ``width``, ... 16 ``width`` channels."""

    def __init__(self, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        inputs = [1, *channels[:-1]]
        self.encoder = nn.ModuleList(_block(i, o, dropout) for i, o in zip(inputs, channels, strict=True))
        self.down = nn.ModuleList(_halve(c) for c in channels[:-1])
        # The decoder's lists run from the deepest level upwards, in the order in which they are used.
        rising = channels[-2::-1]
        self.up = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c in rising)
        self.decoder = nn.ModuleList(_block(2 * c, c, dropout) for c in rising)
        self.output = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, classes, H, W); decoder and skip are concatenated in this order."""
        x = self.encoder[0](x)
        skips = []
        for down, block in zip(self.down, list(self.encoder)[1:], strict=True):
            skips.append(x)
            x = block(down(x))
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(upsample_nearest(x, 2)), skips.pop()], dim=1))
        logits: Tensor = self.output(x)
        return logits
