"""The networks by name.

Every network takes images (B, 1, H, W), float32, with H and W multiples of 32, and returns logits
(B, classes, H, W), one channel per class; classes may overlap, so a sigmoid and no softmax follows.

Importing this package imports neither torch nor MONAI: :func:`check_options` can look at a
configuration long before a network is built.

    >>> check_options("fcn", {"width": 8}).model_dump()
    {'width': 8}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from segpipe.errors import ConfigError
from segpipe.models.networks import builders
from segpipe.models.networks import options as opt

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "NETWORKS",
    "NetworkSpec",
    "build_network",
    "check_options",
    "describe_networks",
    "parameter_count",
]


@dataclass(frozen=True)
class NetworkSpec:
    """A network that can be asked for by name."""

    name: str
    description: str
    options: type[opt.NetworkOptions]
    builder: Callable[[int, Any], nn.Module]  # (classes, checked options) -> module

    @property
    def defaults(self) -> dict[str, Any]:
        """The options as they are when the configuration says nothing."""
        return self.options().model_dump()


_SPECS = [
    NetworkSpec(
        "subpixel_unet",
        "U-Net at a quarter of the resolution, no pixel lost; the default",
        opt.SubpixelUNetOptions,
        builders.subpixel_unet,
    ),
    NetworkSpec("unet", "MONAI UNet, residual units", opt.UNetOptions, builders.unet),
    NetworkSpec("basicunet", "MONAI BasicUNet, max pooling", opt.BasicUNetOptions, builders.basicunet),
    NetworkSpec("attentionunet", "MONAI AttentionUnet, gated skips", opt.AttentionUNetOptions, builders.attentionunet),
    NetworkSpec("segresnet", "MONAI SegResNet, residual encoder", opt.SegResNetOptions, builders.segresnet),
    NetworkSpec("dynunet", "MONAI DynUNet, the nnU-Net layout", opt.DynUNetOptions, builders.dynunet),
    NetworkSpec("fcn", "FCN-8s, additive skips; the baseline", opt.FCNOptions, builders.fcn),
    NetworkSpec("deeplabv3plus", "DeepLabv3+ on a MONAI ResNet", opt.DeepLabV3PlusOptions, builders.deeplabv3plus),
    NetworkSpec("unet2015", "the U-Net of 2015, with BatchNorm", opt.UNet2015Options, builders.unet2015),
    NetworkSpec("unet_strided", "U-Net, strided downsampling, dropout", opt.UNetStridedOptions, builders.unet_strided),
]
NETWORKS: dict[str, NetworkSpec] = {spec.name: spec for spec in _SPECS}


def build_network(name: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
    """The network ``name`` with ``classes`` output channels; ``options`` override its defaults."""
    checked = check_options(name, options)
    if classes < 1:
        raise ConfigError(f"a network needs at least one class, not {classes}; fill `classes` in the config")
    return NETWORKS[name].builder(classes, checked)


def check_options(name: str, options: Mapping[str, Any], size: int | None = None) -> opt.NetworkOptions:
    """The options of network ``name`` merged over its defaults.

    Raises:
        ConfigError: a name or value is wrong, or inputs of ``size`` x ``size`` are too small for so many levels.
    """
    if name not in NETWORKS:
        raise ConfigError(f"model.network: there is no network {name!r}; choose one of {', '.join(NETWORKS)}")
    spec = NETWORKS[name]
    try:
        checked = spec.options.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(_explain(spec, error)) from None
    if size is not None and size < checked.smallest_side():
        raise ConfigError(
            f"model.options: {name} with so many levels needs a preprocess.size of at least {checked.smallest_side()}, "
            f"not {size}: its deepest level would be a single pixel, which cannot be normalised. Give fewer channels, "
            "or a larger size."
        )
    return checked


def _explain(spec: NetworkSpec, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(["model.options", *map(str, problem["loc"])])
        lines.append(f"{key}: {problem['msg']} (found {problem['input']!r})")
    lines.append(f"the options of {spec.name}, with their defaults:")
    for name, field in spec.options.model_fields.items():
        lines.append(f"  {name} = {field.get_default(call_default_factory=True)!r}: {field.description}")
    return "\n".join(lines)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def describe_networks() -> list[str]:
    """One line per network: name, parameters for one class with the default options, description."""
    import torch

    lines = []
    for spec in NETWORKS.values():
        with torch.device("meta"):  # shapes only: no memory, no random numbers
            count = parameter_count(spec.builder(1, spec.options()))
        lines.append(f"{spec.name:<14} {count:>12,}  {spec.description}")
    return lines
