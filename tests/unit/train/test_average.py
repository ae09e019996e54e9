import pytest
import torch
from torch import nn

from segpipe.train.step import Average


def network(value):
    made = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.fill_(value)
    return made


def test_the_first_steps_follow_fast_and_later_ones_by_the_decay():
    trained = network(0)
    average = Average(trained, 0.5)
    expected = 0.0
    for step, decay in [(0, 1 / 10), (1, 2 / 11), (100, 0.5), (101, 0.5)]:
        with torch.no_grad():
            for tensor in trained.state_dict().values():
                tensor.fill_(step + 1)
        average.update(step)
        expected = decay * expected + (1 - decay) * (step + 1)
        found = average.network.state_dict()
        for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
            assert found[name].flatten().tolist() == pytest.approx([expected]), name
        assert int(found["1.num_batches_tracked"]) == step + 1, "counters are copied"


def test_the_average_is_never_trained_and_leaves_the_network_alone():
    trained = network(1)
    average = Average(trained, 0.9)
    assert not average.network.training
    assert not any(tensor.requires_grad for tensor in average.network.parameters())
    average.update(0)
    assert all(bool((tensor == 1).all()) for tensor in trained.state_dict().values())
