"""O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015, https://arxiv.org/abs/1505.04597.

With BatchNorm, which came later, and without the paper's dropout. Three choices can be compared:
padded or unpadded convolutions, learned or bilinear upsampling, skips by concatenation or addition.
"""

import torch
from torch import Tensor, nn

from segpipe.models.networks.layers import BilinearUpsample, reflect_pad


def _block(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H, W), or H - 4 and W - 4 without padding."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=padding, bias=False),  # BatchNorm has the bias
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _up(channels: int, upsampling: str) -> nn.Module:
    """(B, 2 channels, H, W) -> (B, channels, 2H, 2W)."""
    if upsampling == "up_convolution":
        return nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
    return nn.Sequential(BilinearUpsample(2), nn.Conv2d(2 * channels, channels, 1))


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """The middle (height, width) of the last two axes."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


class UNet2015(nn.Module):
    """The U-Net of the paper: ``depth`` poolings, ``width`` channels in the first level."""

    def __init__(self, classes: int, width: int, depth: int, padding: str, upsampling: str, skip: str) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        inputs = [1, *channels[:-1]]
        self.valid = padding == "valid"
        self.add = skip == "add"
        margin = 0 if self.valid else 1
        self.encoder = nn.ModuleList(_block(i, o, margin) for i, o in zip(inputs, channels, strict=True))
        self.pool = nn.MaxPool2d(2)
        # The decoder's lists run from the deepest level upwards, in the order in which they are used.
        rising = channels[-2::-1]
        self.up = nn.ModuleList(_up(c, upsampling) for c in rising)
        self.decoder = nn.ModuleList(_block(c if self.add else 2 * c, c, margin) for c in rising)
        self.output = nn.Conv2d(width, classes, 1)

    @property
    def margin(self) -> int:
        """Pixels mirrored on each side of the input, so that unpadded convolutions leave the whole image.

        At depth d the network shrinks its input by 12 * 2**d - 8 (184 at d = 4: 572 -> 388 in the paper),
        and it gives only sizes that are 4 modulo 2**d. An image of a multiple of 32 is therefore
        computed 4 pixels larger from d = 3 on, and cropped.
        """
        if not self.valid:
            return 0
        scale = int(2 ** len(self.up))
        return (12 * scale - 8 + 4 % scale) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, classes, H, W); unpadded, by the paper's overlap-tile strategy."""
        height, width = x.shape[-2:]
        return centre_crop(self.inner(reflect_pad(x, self.margin)), height, width)

    def inner(self, x: Tensor) -> Tensor:
        """The network itself: without padding, the output is smaller than the input."""
        x = self.encoder[0](x)
        skips = []
        for block in list(self.encoder)[1:]:
            skips.append(x)
            x = block(self.pool(x))
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(self._join(skips.pop(), up(x)))
        logits: Tensor = self.output(x)
        return logits

    def _join(self, skip: Tensor, x: Tensor) -> Tensor:
        """Skip and decoder, in this order as the paper draws it; the skip cropped to the decoder's size."""
        skip = centre_crop(skip, x.shape[-2], x.shape[-1])
        return skip + x if self.add else torch.cat([skip, x], dim=1)
