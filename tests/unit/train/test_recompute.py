import copy

import pytest
import torch

from segpipe.models.networks.registry import NETWORKS, build_network
from segpipe.train.losses import build_loss
from segpipe.train.step import recompute_blocks

SMALL = {
    "basicunet": {"features": [4, 4, 8, 8, 16, 4], "norm": "batch"},
    "attentionunet": {"channels": [4, 8, 16]},
    "segresnet": {"init_filters": 8},
    "dynunet": {"filters": [4, 8, 16]},
    "fcn": {"width": 4},
    "deeplabv3plus": {"backbone": "resnet18", "channels": 8},
    "unet": {"channels": [4, 8, 16], "dropout": 0.3},
    "subpixel_unet": {"channels": [8, 16, 16]},
    "unet2015": {"width": 4},
    "unet_strided": {"width": 4},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_statistics_are_the_same_bits_and_names_stay(name):
    torch.manual_seed(0)
    plain = build_network(name, 2, SMALL.get(name, {})).train()
    forgetful = copy.deepcopy(plain)
    assert recompute_blocks(forgetful) > 1
    assert list(forgetful.state_dict()) == list(plain.state_dict())
    images, masks = torch.rand(2, 1, 64, 64), (torch.rand(2, 2, 64, 64) > 0.5).float()
    for network in (plain, forgetful):
        torch.manual_seed(1)  # dropout
        build_loss("dice_ce")(network(images), masks).backward()
    for (key, one), other in zip(plain.named_parameters(), forgetful.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), key
    for (key, one), other in zip(plain.named_buffers(), forgetful.buffers(), strict=True):
        assert torch.equal(one, other), key
    assert torch.equal(plain.eval()(images), forgetful.eval()(images))


def test_fewer_activations_are_kept():
    kept = []

    def count(tensor):
        kept.append(tensor.numel())
        return tensor

    network = build_network("unet", 2, {"channels": [4, 8, 16]}).train()
    for remember in (True, False):
        if not remember:
            recompute_blocks(network)
        kept.append(-1)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network(torch.rand(2, 1, 64, 64))
    second = kept.index(-1, 1)
    assert sum(kept[second:]) < 0.5 * sum(kept[:second])
