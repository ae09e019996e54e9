import pytest
import torch
from torch import nn

from segpipe.errors import ConfigError
from segpipe.models.networks.registry import NETWORKS, build_network
from segpipe.train.finetune import encoder_parameters, freeze_encoder
from tests.unit.models.test_networks import SMALL


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_an_encoder_that_is_a_true_part_of_it(name):
    network = build_network(name, 2, SMALL.get(name, {}))
    encoder = encoder_parameters(network)
    everything = list(network.parameters())
    assert 0 < len(encoder) < len(everything)
    assert len({id(parameter) for parameter in encoder}) == len(encoder)
    assert {id(parameter) for parameter in encoder} < {id(parameter) for parameter in everything}
    assert any(parameter is everything[0] for parameter in encoder)  # the first layer sees the picture
    two, three = (build_network(name, classes, SMALL.get(name, {})) for classes in (2, 3))
    pairs = zip(encoder_parameters(two), encoder_parameters(three), strict=True)
    assert all(one.shape == other.shape for one, other in pairs)  # no output layer among them


@pytest.mark.parametrize("name", NETWORKS)
def test_a_frozen_encoder_stays_still_and_the_rest_learns_until_it_is_let_go(name):
    torch.manual_seed(0)
    network = build_network(name, 2, SMALL.get(name, {}))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    encoder = {id(parameter) for parameter in encoder_parameters(network)}
    still = [key for key, value in network.named_parameters() if id(value) in encoder]
    still += [
        key for key, _ in network.named_buffers() if key.rsplit(".", 1)[0] in {k.rsplit(".", 1)[0] for k in still}
    ]
    moved = []
    for epoch in (1, 2):
        before = {key: value.clone() for key, value in network.state_dict().items()}
        network.train()
        freeze_encoder(network, epoch, 1)
        logits = network(torch.randn(2, 1, 64, 64))
        logits = logits[0] if isinstance(logits, list | tuple) else logits
        optimizer.zero_grad(set_to_none=True)
        (logits * torch.randn_like(logits)).mean().backward()
        optimizer.step()
        moved.append({key for key, value in network.state_dict().items() if not torch.equal(value, before[key])})
    assert moved[0]
    assert not moved[0] & set(still)
    assert len(moved[1] & set(still)) > 0.8 * len(still)


def test_no_frozen_epochs_ask_for_no_encoder():
    freeze_encoder(nn.Linear(1, 1), 1, 0)


def test_an_unknown_network_is_named():
    with pytest.raises(ConfigError, match=r"freeze_encoder_epochs: which part of Linear .* set it to 0"):
        encoder_parameters(nn.Linear(1, 1))
