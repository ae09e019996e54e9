"""One function per network, from options to module; torch and MONAI are imported when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segpipe.models.networks import options as opt

if TYPE_CHECKING:
    from torch import nn


def subpixel_unet(classes: int, options: opt.SubpixelUNetOptions) -> nn.Module:
    """U-Net on pixels rearranged as channels (Ronneberger et al. 2015; Shi et al. 2016)."""
    from segpipe.models.networks.subpixel_unet import SubpixelUNet

    return SubpixelUNet(classes, options.channels, options.factor, options.norm, options.deep_supervision)


def unet(classes: int, options: opt.UNetOptions) -> nn.Module:
    """MONAI UNet with residual units (Kerfoot et al. 2018)."""
    from monai.networks.nets.unet import UNet

    network: nn.Module = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=classes,
        channels=options.channels,
        strides=[2] * (len(options.channels) - 1),
        num_res_units=options.num_res_units,
        norm=options.norm,
        dropout=options.dropout,
    )
    return network


def basicunet(classes: int, options: opt.BasicUNetOptions) -> nn.Module:
    """MONAI BasicUNet (after Falk et al. 2019); affine normalisation as MONAI's own default has it."""
    from monai.networks.nets.basic_unet import BasicUNet, UpCat

    network: nn.Module = BasicUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=classes,
        features=options.features,
        norm=(options.norm, {"affine": True}),
        dropout=options.dropout,
    )
    for module in network.modules():
        if isinstance(module, UpCat):
            module.is_pad = False  # sizes are multiples of 32 and fit; padding by nothing costs time on CUDA
    return network


def attentionunet(classes: int, options: opt.AttentionUNetOptions) -> nn.Module:
    """MONAI AttentionUnet (Oktay et al. 2018)."""
    from monai.networks.nets.attentionunet import AttentionUnet

    network: nn.Module = AttentionUnet(
        spatial_dims=2,
        in_channels=1,
        out_channels=classes,
        channels=options.channels,
        strides=[2] * (len(options.channels) - 1),
        dropout=options.dropout,
    )
    return network


def segresnet(classes: int, options: opt.SegResNetOptions) -> nn.Module:
    """MONAI SegResNet (Myronenko 2018, without the autoencoder branch)."""
    from monai.networks.nets.segresnet import SegResNet

    from segpipe.models.networks.layers import replace_bilinear_upsampling

    network: nn.Module = SegResNet(
        spatial_dims=2,
        init_filters=options.init_filters,
        in_channels=1,
        out_channels=classes,
        dropout_prob=options.dropout or None,
        blocks_down=tuple(options.blocks_down),
        blocks_up=tuple(options.blocks_up),
    )
    replace_bilinear_upsampling(network)
    return network


def dynunet(classes: int, options: opt.DynUNetOptions) -> nn.Module:
    """MONAI DynUNet (after nnU-Net, Isensee et al. 2021), full-resolution output only."""
    from monai.networks.nets.dynunet import DynUNet

    levels = len(options.filters)
    network: nn.Module = DynUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=classes,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=options.filters,
        dropout=options.dropout or None,
        norm_name=(options.norm, {"affine": True}),
        res_block=options.res_block,
    )
    return network


def fcn(classes: int, options: opt.FCNOptions) -> nn.Module:
    """FCN-8s (Long et al. 2015)."""
    from segpipe.models.networks.fcn import FCN

    return FCN(classes, options.width)


def deeplabv3plus(classes: int, options: opt.DeepLabV3PlusOptions) -> nn.Module:
    """DeepLabv3+ on a MONAI ResNet (Chen et al. 2018)."""
    from segpipe.models.networks.deeplabv3plus import DeepLabV3Plus

    return DeepLabV3Plus(classes, options.backbone, options.channels)


def unet2015(classes: int, options: opt.UNet2015Options) -> nn.Module:
    """The U-Net of the paper (Ronneberger et al. 2015)."""
    from segpipe.models.networks.unet2015 import UNet2015

    return UNet2015(classes, options)


def unet_strided(classes: int, options: opt.UNetStridedOptions) -> nn.Module:
    """U-Net with strided convolutions and nearest-neighbour upsampling."""
    from segpipe.models.networks.unet_strided import UNetStrided

    return UNetStrided(classes, options.width, options.dropout)
