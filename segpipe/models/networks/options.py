"""The arguments of each network: names, types, bounds and defaults, checked without importing torch."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Channels = Annotated[int, Field(ge=1, le=4096)]
# An input of 32 x 32 can be halved five times, so six levels are the most there can be.
Levels = Annotated[list[Channels], Field(min_length=2, max_length=6)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Norm = Literal["instance", "batch"]


class NetworkOptions(BaseModel):
    """Base of all options: unknown names and values of another type are errors."""

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


class SubpixelUNetOptions(NetworkOptions):
    """Options of ``subpixel_unet``."""

    channels: Levels = Field(
        [32, 64, 128, 256, 256], description="channels per level, the first at 1/factor of the picture's resolution"
    )
    factor: Literal[1, 2, 4, 8] = Field(4, description="sides of the square of pixels that become channels")
    norm: Norm = Field("instance", description="normalisation")
    deep_supervision: bool = Field(False, description="also train outputs of the decoder's coarser levels")

    def smallest_side(self) -> int:
        """Two pixels are left at the deepest level: one alone has no variance to normalise by."""
        return self.factor * (1 << len(self.channels))


class UNetOptions(NetworkOptions):
    """Options of ``unet``."""

    channels: Levels = Field(
        [16, 32, 64, 128, 256, 256], description="channels per level, the first at half resolution"
    )
    num_res_units: int = Field(2, ge=0, le=8, description="convolutions per residual unit; 0: plain ones")
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")

    def smallest_side(self) -> int:
        """Two pixels are left at the deepest level: one alone has no variance to normalise by."""
        return 1 << len(self.channels)


class BasicUNetOptions(NetworkOptions):
    """Options of ``basicunet``."""

    features: Annotated[list[Channels], Field(min_length=6, max_length=6)] = Field(
        [32, 32, 64, 128, 256, 32], description="channels of the five levels, then of the last block"
    )
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")


class AttentionUNetOptions(NetworkOptions):
    """Options of ``attentionunet``."""

    channels: Annotated[list[Annotated[int, Field(ge=2, le=4096)]], Field(min_length=2, max_length=6)] = Field(
        [16, 32, 64, 128, 256], description="channels per level, at least 2: gates work on half of them"
    )
    dropout: Dropout = Field(0.0, description="dropout probability")


class SegResNetOptions(NetworkOptions):
    """Options of ``segresnet``."""

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


class DynUNetOptions(NetworkOptions):
    """Options of ``dynunet``."""

    filters: Annotated[list[Channels], Field(min_length=3, max_length=6)] = Field(
        [16, 32, 64, 128, 256], description="channels per level"
    )
    res_block: bool = Field(False, description="residual instead of plain blocks")
    norm: Norm = Field("instance", description="normalisation")
    dropout: Dropout = Field(0.0, description="dropout probability")


class FCNOptions(NetworkOptions):
    """Options of ``fcn``."""

    width: int = Field(16, ge=1, le=256, description="channels of the first stage; VGG-16 has 64")


class DeepLabV3PlusOptions(NetworkOptions):
    """Options of ``deeplabv3plus``."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = Field("resnet50", description="encoder")
    channels: int = Field(256, ge=1, le=1024, description="channels of the pyramid and the decoder")


class UNet2015Options(NetworkOptions):
    """Options of ``unet2015``."""

    width: int = Field(64, ge=1, le=256, description="channels of the first level, doubled at each pooling")
    depth: int = Field(4, ge=1, le=5, description="number of poolings")
    padding: Literal["same", "valid"] = Field("same", description="zero-padded convolutions, or none as in the paper")
    upsampling: Literal["up_convolution", "bilinear"] = Field(
        "up_convolution", description="transposed 2x2 convolution, or interpolation and a 1x1 convolution"
    )
    skip: Literal["concat", "add"] = Field("concat", description="how the encoder's channels join the decoder's")


class UNetStridedOptions(NetworkOptions):
    """Options of ``unet_strided``."""

    width: int = Field(64, ge=1, le=256, description="channels of the first level, doubled at each of four levels")
    dropout: Dropout = Field(0.3, description="probability to drop a channel after each convolution")
