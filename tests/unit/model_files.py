"""Models with random weights, for tests of what is done with models."""

import torch

from segpipe.config import Dicom, Preprocess
from segpipe.models.card import ModelCard
from segpipe.models.networks.registry import build_network
from segpipe.models.weights import save_model

SIZE = 64
TINY = {"channels": [4, 8], "num_res_units": 0}
# The smallest options that leave each network what makes it that network.
SMALL = {
    "subpixel_unet": {"channels": [4, 8, 8], "deep_supervision": True},
    "unet": TINY,
    "basicunet": {"features": [4, 4, 4, 4, 4, 4]},
    "attentionunet": {"channels": [4, 8]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "dynunet": {"filters": [4, 4, 4]},
    "fcn": {"width": 2},
    "deeplabv3plus": {"backbone": "resnet18", "channels": 4},
    "unet2015": {"width": 2, "depth": 2},
    "unet_strided": {"width": 2},
}


def write_model(
    folder, seed=0, classes=("lung", "heart"), network="unet", options=None, preprocess=None, raster=None, **facts
):
    """A model's folder; returns it."""
    options = SMALL.get(network, {}) if options is None else options
    torch.manual_seed(seed)
    named = classes if isinstance(classes, dict) else dict.fromkeys(classes)
    wanted = preprocess or Preprocess(size=SIZE)
    card = ModelCard(
        network, options, named, wanted.model_dump(mode="json"), Dicom().model_dump(mode="json"),
        {"model": folder.name, "seed": seed, "train_images": 5, "val_images": 2, "val_miou": 0.5, **facts},
        raster or {},
    )  # fmt: skip
    weights = build_network(network, len(named), options).state_dict()
    save_model(folder, {name: tensor.clone() for name, tensor in weights.items()}, card)
    return folder
