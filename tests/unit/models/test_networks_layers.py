"""Padding and upsampling against PyTorch's and NumPy's own."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from segpipe.models.networks.layers import (
    BilinearUpsample,
    reflect_pad,
    replace_bilinear_upsampling,
    upsample_bilinear,
    upsample_nearest,
)


def picture() -> torch.Tensor:
    return torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()


def gradient(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    weights = torch.rand(y.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_mirroring_and_its_gradient_equal_pytorchs(margin: int) -> None:
    x = picture()
    expected = functional.pad(x, (margin,) * 4, mode="reflect")
    assert torch.equal(reflect_pad(x, margin), expected)
    torch.testing.assert_close(gradient(reflect_pad(x, margin), x), gradient(expected, x))


def test_a_margin_larger_than_the_image_is_mirrored_again_as_numpy_does() -> None:
    x = picture().detach()
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (23, 23), (23, 23)), mode="reflect")
    assert np.array_equal(reflect_pad(x, 23).numpy(), expected)


def test_a_single_pixel_cannot_be_mirrored() -> None:
    with pytest.raises(ValueError, match="one pixel"):
        reflect_pad(torch.zeros(1, 1, 4, 1), 1)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bilinear_upsampling_and_its_gradient_equal_pytorchs(factor: int) -> None:
    x = picture()
    expected = functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    found = upsample_bilinear(x, factor)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, x), gradient(expected, x))


def test_bilinear_upsampling_by_two_of_one_row() -> None:
    found = upsample_bilinear(torch.tensor([[[[0.0, 4.0, 8.0]]]]), 2)
    assert found[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]


def test_a_single_pixel_is_upsampled_to_a_constant() -> None:
    assert torch.equal(upsample_bilinear(torch.full((1, 1, 1, 1), 0.3), 4), torch.full((1, 1, 4, 4), 0.3))


def test_nearest_upsampling_and_its_gradient_equal_pytorchs() -> None:
    x = picture()
    expected = functional.interpolate(x, scale_factor=2, mode="nearest")
    assert torch.equal(upsample_nearest(x, 2), expected)
    torch.testing.assert_close(gradient(upsample_nearest(x, 2), x), gradient(expected, x))


def test_bilinear_layers_of_a_network_are_replaced_without_changing_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")))
    x = picture().detach()
    before = network(x)
    replace_bilinear_upsampling(network)
    assert [type(m) for m in network.modules()].count(BilinearUpsample) == 1
    assert not any(isinstance(m, nn.Upsample) for m in network.modules())
    torch.testing.assert_close(network(x), before)


def test_other_upsampling_is_not_silently_kept() -> None:
    with pytest.raises(ValueError, match="no deterministic stand-in"):
        replace_bilinear_upsampling(nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic")))
