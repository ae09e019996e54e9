"""Which part of a network is its encoder, and how it is kept still."""

import re
from collections.abc import Sequence

from torch import Tensor, nn

from segpipe.errors import ConfigError

# Names of the parameters on the way down, the deepest level with them. MONAI nests UNet and AttentionUnet: a level is
# (0: down, 1: what is deeper, 2: up), and what is neither 1 nor 2 is the way down or the deepest level.
ENCODERS = {
    "UNet": r"model\.(1\.submodule\.)*(?![12]\.)",
    "AttentionUnet": r"model\.(1\.submodule\.)*(?![12]\.)",
    "BasicUNet": r"(conv_0|down_\d)\.",
    "SegResNet": r"(convInit|down_layers)\.",
    "DynUNet": r"(input_block|downsamples|bottleneck)\.",
    "FCN": r"stages\.",
    "DeepLabV3Plus": r"backbone\.",
    "UNet2015": r"encoder\.",
    "UNetStrided": r"(encoder|down)\.",
}


def encoder_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters on the network's way down, the deepest level included.

    A network may say so itself by a method ``encoder_parameters``; MONAI's are known by their names.
    """
    own = getattr(network, "encoder_parameters", None)
    if own is not None:
        return list(own())
    pattern = ENCODERS.get(type(network).__name__)
    if pattern is None:
        raise ConfigError(
            f"train.freeze_encoder_epochs: which part of {type(network).__name__} is its encoder is not known; set it "
            "to 0, or choose another network."
        )
    return [parameter for name, parameter in network.named_parameters() if re.match(pattern, name)]


def freeze_encoder(network: nn.Module, epoch: int, frozen_epochs: int) -> None:
    """Keep the encoder still in the first ``frozen_epochs`` epochs; to be called after each ``network.train()``.

    Frozen parameters get no gradient, so that no optimizer moves them, and running statistics stay as they are.
    Which epoch it is decides, counted from 1, and nothing else: a resumed training does the same.
    """
    if frozen_epochs == 0:
        return
    encoder, frozen = encoder_parameters(network), epoch <= frozen_epochs
    for parameter in encoder:
        parameter.requires_grad_(not frozen)
    for module in network.modules() if frozen else ():
        weight = getattr(module, "weight", None)
        if getattr(module, "running_mean", None) is not None and is_among(weight, encoder):
            module.eval()


def is_among(parameter: Tensor | None, parameters: Sequence[Tensor]) -> bool:
    """Whether it is one of them, the very object."""
    return any(parameter is other for other in parameters)
