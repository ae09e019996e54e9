"""DeepLabv3+: L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff, H. Adam, "Encoder-decoder with atrous separable
convolution for semantic image segmentation", ECCV 2018, https://arxiv.org/abs/1802.02611.

On a ResNet instead of Xception, with plain instead of separable convolutions, without pretrained
weights. Output stride 16.
"""

import torch
from monai.networks.nets import resnet
from torch import Tensor, nn

from segpipe.models.networks.layers import upsample_bilinear

RATES = (6, 12, 18)  # of the paper, for output stride 16
LOW_LEVEL = 48  # few channels, so that the decoder does not outweigh the encoder (section 4.1)
BACKBONES = {  # name -> constructor, channels after the first and after the last stage
    "resnet18": (resnet.resnet18, 64, 512),
    "resnet34": (resnet.resnet34, 64, 512),
    "resnet50": (resnet.resnet50, 256, 2048),
}


def _convolution(inputs: int, outputs: int, size: int, rate: int = 1) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H, W)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=rate * (size // 2), dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def dilate(stage: nn.Module) -> None:
    """Make a ResNet stage keep its resolution: what it computed on every second pixel, it computes on all.

    The convolution that halved is left at stride 1; those after it saw a grid twice as coarse, and get
    dilation 2 to see the same again.
    """
    for convolution in [module for module in stage.modules() if isinstance(module, nn.Conv2d)]:
        if convolution.stride != (1, 1):
            convolution.stride = (1, 1)
        elif convolution.kernel_size != (1, 1):
            convolution.dilation = (2, 2)
            convolution.padding = (2, 2)


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: one pixel, three rates and the mean of the image, side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_convolution(inputs, outputs, 1), *(_convolution(inputs, outputs, 3, rate) for rate in RATES)]
        )
        # No BatchNorm here: with a batch of one it would have a single value per channel.
        self.image = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))
        self.project = _convolution((len(RATES) + 2) * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        features = [branch(x) for branch in self.branches]
        # mean() and expand() instead of adaptive pooling, whose gradient is not deterministic on CUDA
        features.append(self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:]))
        projected: Tensor = self.project(torch.cat(features, dim=1))
        return projected


class DeepLabV3Plus(nn.Module):
    """Encoder, pyramid at 1/16 and decoder at 1/4 of the image, where the low-level features join."""

    def __init__(self, classes: int, backbone: str, channels: int) -> None:
        super().__init__()
        constructor, low, high = BACKBONES[backbone]
        self.backbone = constructor(
            pretrained=False,
            spatial_dims=2,
            n_input_channels=1,
            conv1_t_stride=2,  # MONAI's default of 1 would double every resolution
            feed_forward=False,
            bias_downsample=False,
        )
        dilate(self.backbone.layer4)
        self.pyramid = AtrousPyramid(high, channels)
        self.low_level = _convolution(low, LOW_LEVEL, 1)
        self.decoder = nn.Sequential(
            _convolution(channels + LOW_LEVEL, channels, 3), _convolution(channels, channels, 3)
        )
        self.output = nn.Conv2d(channels, classes, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) -> features of the first stage at H/4, W/4 and of the last at H/16, W/16."""
        net = self.backbone
        low = net.layer1(net.maxpool(net.act(net.bn1(net.conv1(x)))))
        return low, net.layer4(net.layer3(net.layer2(low)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, classes, H, W); pyramid and low level are concatenated in this order."""
        low, high = self.encode(x)
        x = torch.cat([upsample_bilinear(self.pyramid(high), 4), self.low_level(low)], dim=1)
        return upsample_bilinear(self.output(self.decoder(x)), 4)
