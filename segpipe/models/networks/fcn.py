"""FCN-8s: J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038.

The baseline that U-Nets are compared with: it adds class scores of three resolutions where they
concatenate features of all. Trained from scratch, so it has BatchNorm, which the paper (starting
from a VGG-16 trained on ImageNet) does without; upsampling is the fixed bilinear one that the paper
starts from.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from segpipe.models.networks.layers import upsample_bilinear

CONVOLUTIONS = (2, 2, 3, 3, 3)  # per stage, as in VGG-16


def _stage(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers += [
            nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class FCN(nn.Module):
    """FCN-8s on a VGG-16 of ``width`` channels in its first stage (the original: 64)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        channels = [1, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.stages = nn.ModuleList(
            _stage(channels[i], channels[i + 1], convolutions) for i, convolutions in enumerate(CONVOLUTIONS)
        )
        # No BatchNorm at 1/32: a batch of one 32 x 32 image leaves it a single value per channel.
        self.head = nn.Sequential(
            nn.Conv2d(8 * width, 16 * width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16 * width, 16 * width, 1),
            nn.ReLU(inplace=True),
        )
        self.score32 = nn.Conv2d(16 * width, classes, 1)
        self.score16 = nn.Conv2d(8 * width, classes, 1)
        self.score8 = nn.Conv2d(4 * width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, classes, H, W)."""
        pooled = []
        for stage in self.stages:
            x = stage(x)
            pooled.append(x)
        return self._decode(pooled)

    def _decode(self, pooled: Sequence[Tensor]) -> Tensor:
        """Class scores at 1/32, 1/16 and 1/8 of the image, added on the way up."""
        scores = self.score32(self.head(pooled[4]))
        scores = upsample_bilinear(scores, 2) + self.score16(pooled[3])
        scores = upsample_bilinear(scores, 2) + self.score8(pooled[2])
        return upsample_bilinear(scores, 8)
