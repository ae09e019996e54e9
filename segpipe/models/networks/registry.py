"""The networks by name: their options, checked without torch, and how each is built.

Every network takes images (B, 1, H, W), float32, with H and W multiples of 32, and returns logits
(B, classes, H, W), one channel per class; classes may overlap, so a sigmoid and no softmax follows.

Importing this module imports neither torch nor MONAI: :func:`check_options` can look at a
configuration long before a network is built.

    >>> check_options("fcn", {"width": 8}).model_dump()
    {'width': 8}
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segpipe.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, Field(ge=1, le=4096)]
# An input of 32 x 32 can be halved five times, so six levels are the most there can be.
Levels = Annotated[list[Channels], Field(min_length=2, max_length=6)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Norm = Literal["instance", "batch"]


class NetworkOptions(BaseModel):
    """A network by its options: unknown names and values of another type are errors."""

    description: ClassVar[str]

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _tuples_are_lists(cls, values: Any) -> Any:
        """YAML and JSON give lists, Python callers like tuples: take both."""
        if isinstance(values, dict):
            return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return values

    def smallest_side(self) -> int:
        """Rows and columns below which the network cannot be trained."""
        return 32

    @abstractmethod
    def build(self, classes: int) -> "nn.Module":
        """The network with ``classes`` output channels and fresh weights."""


class SubpixelUNetOptions(NetworkOptions):
    """U-Net on pixels rearranged as channels (Ronneberger et al. 2015; Shi et al. 2016)."""

    description: ClassVar[str] = "U-Net at a quarter of the resolution, no pixel lost; the default"

    channels: Levels = Field(
        [32, 64, 128, 256, 256], description="channels per level, the first at 1/factor of the picture's resolution"
    )
    factor: Literal[1, 2, 4, 8] = Field(4, description="sides of the square of pixels that become channels")
    norm: Norm = Field("instance", description="normalisation")
    deep_supervision: bool = Field(False, description="also train outputs of the decoder's coarser levels")

    def smallest_side(self) -> int:
        """Two pixels are left at the deepest level: one alone has no variance to normalise by."""
        return self.factor * (1 << len(self.channels))

    def build(self, classes: int) -> "nn.Module":
        from segpipe.models.networks.subpixel_unet import SubpixelUNet

        return SubpixelUNet(classes, self.channels, self.factor, self.norm, self.deep_supervision)


class UNetOptions(NetworkOptions):
    """MONAI UNet with residual units (Kerfoot et al. 2018)."""

    description: ClassVar[str] = "MONAI UNet, residual units"

    channels: Levels = Field(
        [16, 32, 64, 128, 256, 256], description="channels per level, the first at half resolution"
    )
    num_res_units: int = Field(2, ge=0, le=8, description="convolutions per residual unit; 0: plain ones")
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")

    def smallest_side(self) -> int:
        """Two pixels are left at the deepest level: one alone has no variance to normalise by."""
        return 1 << len(self.channels)

    def build(self, classes: int) -> "nn.Module":
        from monai.networks.nets.unet import UNet

        network: nn.Module = UNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=classes,
            channels=self.channels,
            strides=[2] * (len(self.channels) - 1),
            num_res_units=self.num_res_units,
            norm=self.norm,
            dropout=self.dropout,
        )
        return network


class BasicUNetOptions(NetworkOptions):
    """MONAI BasicUNet (after Falk et al. 2019); affine normalisation as MONAI's own default has it."""

    description: ClassVar[str] = "MONAI BasicUNet, max pooling"

    features: Annotated[list[Channels], Field(min_length=6, max_length=6)] = Field(
        [32, 32, 64, 128, 256, 32], description="channels of the five levels, then of the last block"
    )
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")

    def build(self, classes: int) -> "nn.Module":
        from monai.networks.nets.basic_unet import BasicUNet, UpCat

        network: nn.Module = BasicUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=classes,
            features=self.features,
            norm=(self.norm, {"affine": True}),
            dropout=self.dropout,
        )
        for module in network.modules():
            if isinstance(module, UpCat):
                module.is_pad = False  # sizes are multiples of 32 and fit; padding by nothing costs time on CUDA
        return network


class AttentionUNetOptions(NetworkOptions):
    """MONAI AttentionUnet (Oktay et al. 2018)."""

    description: ClassVar[str] = "MONAI AttentionUnet, gated skips"

    channels: Annotated[list[Annotated[int, Field(ge=2, le=4096)]], Field(min_length=2, max_length=6)] = Field(
        [16, 32, 64, 128, 256], description="channels per level, at least 2: gates work on half of them"
    )
    dropout: Dropout = Field(0.0, description="dropout probability")

    def build(self, classes: int) -> "nn.Module":
        from monai.networks.nets.attentionunet import AttentionUnet

        network: nn.Module = AttentionUnet(
            spatial_dims=2,
            in_channels=1,
            out_channels=classes,
            channels=self.channels,
            strides=[2] * (len(self.channels) - 1),
            dropout=self.dropout,
        )
        return network


class SegResNetOptions(NetworkOptions):
    """MONAI SegResNet (Myronenko 2018, without the autoencoder branch)."""

    description: ClassVar[str] = "MONAI SegResNet, residual encoder"

    init_filters: int = Field(16, ge=8, le=512, multiple_of=8, description="channels at full resolution")
    blocks_down: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=6)] = Field(
        [1, 2, 2, 4], description="residual blocks per level of the encoder"
    )
    blocks_up: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=5)] = Field(
        [1, 1, 1], description="residual blocks per level of the decoder, one level fewer than the encoder"
    )
    dropout: Dropout = Field(0.0, description="dropout probability after the first convolution")

    @model_validator(mode="after")
    def _one_level_fewer(self) -> "SegResNetOptions":
        if len(self.blocks_up) != len(self.blocks_down) - 1:
            raise ValueError("blocks_up must have one entry fewer than blocks_down")
        return self

    def build(self, classes: int) -> "nn.Module":
        from monai.networks.nets.segresnet import SegResNet

        from segpipe.models.networks.layers import replace_bilinear_upsampling

        network: nn.Module = SegResNet(
            spatial_dims=2,
            init_filters=self.init_filters,
            in_channels=1,
            out_channels=classes,
            dropout_prob=self.dropout or None,
            blocks_down=tuple(self.blocks_down),
            blocks_up=tuple(self.blocks_up),
        )
        replace_bilinear_upsampling(network)
        return network


class DynUNetOptions(NetworkOptions):
    """MONAI DynUNet (after nnU-Net, Isensee et al. 2021), full-resolution output only."""

    description: ClassVar[str] = "MONAI DynUNet, the nnU-Net layout"

    filters: Annotated[list[Channels], Field(min_length=3, max_length=6)] = Field(
        [16, 32, 64, 128, 256], description="channels per level"
    )
    res_block: bool = Field(False, description="residual instead of plain blocks")
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")

    def build(self, classes: int) -> "nn.Module":
        from monai.networks.nets.dynunet import DynUNet

        levels = len(self.filters)
        network: nn.Module = DynUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=classes,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=self.filters,
            dropout=self.dropout or None,
            norm_name=(self.norm, {"affine": True}),
            res_block=self.res_block,
        )
        return network


class FCNOptions(NetworkOptions):
    """FCN-8s (Long et al. 2015)."""

    description: ClassVar[str] = "FCN-8s, additive skips; the baseline"

    width: int = Field(16, ge=1, le=256, description="channels of the first stage; VGG-16 has 64")

    def build(self, classes: int) -> "nn.Module":
        from segpipe.models.networks.fcn import FCN

        return FCN(classes, self.width)


class DeepLabV3PlusOptions(NetworkOptions):
    """DeepLabv3+ on a MONAI ResNet (Chen et al. 2018)."""

    description: ClassVar[str] = "DeepLabv3+ on a MONAI ResNet"

    backbone: Literal["resnet18", "resnet34", "resnet50"] = Field("resnet50", description="encoder")
    channels: int = Field(256, ge=1, le=1024, description="channels of the pyramid and the decoder")

    def build(self, classes: int) -> "nn.Module":
        from segpipe.models.networks.deeplabv3plus import DeepLabV3Plus

        return DeepLabV3Plus(classes, self.backbone, self.channels)


class UNet2015Options(NetworkOptions):
    """The U-Net of the paper (Ronneberger et al. 2015)."""

    description: ClassVar[str] = "the U-Net of 2015, with BatchNorm"

    width: int = Field(64, ge=1, le=256, description="channels of the first level, doubled at each pooling")
    depth: int = Field(4, ge=1, le=5, description="number of poolings")
    padding: Literal["same", "valid"] = Field("same", description="zero-padded convolutions, or none as in the paper")
    upsampling: Literal["up_convolution", "bilinear"] = Field(
        "up_convolution", description="transposed 2x2 convolution, or interpolation and a 1x1 convolution"
    )
    skip: Literal["concat", "add"] = Field("concat", description="how the encoder's channels join the decoder's")

    def build(self, classes: int) -> "nn.Module":
        from segpipe.models.networks.unet2015 import UNet2015

        return UNet2015(classes, self.width, self.depth, self.padding, self.upsampling, self.skip)


class UNetStridedOptions(NetworkOptions):
    """U-Net with strided convolutions and nearest-neighbour upsampling."""

    description: ClassVar[str] = "U-Net, strided downsampling, dropout"

    width: int = Field(64, ge=1, le=256, description="channels of the first level, doubled at each of four levels")
    dropout: Dropout = Field(0.3, description="probability to drop a channel after each convolution")

    def build(self, classes: int) -> "nn.Module":
        from segpipe.models.networks.unet_strided import UNetStrided

        return UNetStrided(classes, self.width, self.dropout)


NETWORKS: dict[str, type[NetworkOptions]] = {
    "subpixel_unet": SubpixelUNetOptions,
    "unet": UNetOptions,
    "basicunet": BasicUNetOptions,
    "attentionunet": AttentionUNetOptions,
    "segresnet": SegResNetOptions,
    "dynunet": DynUNetOptions,
    "fcn": FCNOptions,
    "deeplabv3plus": DeepLabV3PlusOptions,
    "unet2015": UNet2015Options,
    "unet_strided": UNetStridedOptions,
}


def build_network(name: str, classes: int, options: Mapping[str, Any]) -> "nn.Module":
    """The network ``name`` with ``classes`` output channels; ``options`` override its defaults."""
    checked = check_options(name, options)
    if classes < 1:
        raise ConfigError(f"a network needs at least one class, not {classes}; fill `classes` in the config")
    return checked.build(classes)


def check_options(name: str, options: Mapping[str, Any], size: int | None = None) -> NetworkOptions:
    """The options of network ``name`` merged over its defaults.

    Raises:
        ConfigError: a name or value is wrong, or inputs of ``size`` x ``size`` are too small for so many levels.
    """
    if name not in NETWORKS:
        raise ConfigError(f"model.network: there is no network {name!r}; choose one of {', '.join(NETWORKS)}")
    try:
        checked = NETWORKS[name].model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(_explain(name, error)) from None
    if size is not None and size < checked.smallest_side():
        raise ConfigError(
            f"model.options: {name} with so many levels needs a preprocess.size of at least {checked.smallest_side()}, "
            f"not {size}: its deepest level would be a single pixel, which cannot be normalised. Give fewer channels, "
            "or a larger size."
        )
    return checked


def _explain(name: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(["model.options", *map(str, problem["loc"])])
        lines.append(f"{key}: {problem['msg']} (found {problem['input']!r})")
    lines.append(f"the options of {name}, with their defaults:")
    for option, field in NETWORKS[name].model_fields.items():
        lines.append(f"  {option} = {field.get_default(call_default_factory=True)!r}: {field.description}")
    return "\n".join(lines)


def parameter_count(module: "nn.Module") -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def describe_networks() -> list[str]:
    """One line per network: name, parameters for one class with the default options, description."""
    import torch

    lines = []
    for name, options in NETWORKS.items():
        with torch.device("meta"):  # shapes only: no memory, no random numbers
            count = parameter_count(options().build(1))
        lines.append(f"{name:<14} {count:>12,}  {options.description}")
    return lines
