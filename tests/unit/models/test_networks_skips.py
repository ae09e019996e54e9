"""What flows where in the networks built here: order of concatenation, sums, crops, dilation."""

from typing import Any

import pytest
import torch
from monai.networks.nets import resnet
from torch import Tensor, nn
from torch.nn import functional

from segpipe.models.networks.deeplabv3plus import dilate
from segpipe.models.networks.layers import upsample_bilinear, upsample_nearest
from segpipe.models.networks.registry import build_network

WIDTH = 4


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def build(name: str, **options: Any) -> Any:
    return build_network(name, 2, options).eval()


def picture(height: int = 32, width: int = 64) -> Tensor:
    return torch.rand(1, 1, height, width)


def inputs_of(modules: nn.ModuleList | list[nn.Module]) -> list[Tensor]:
    """The input each module gets in the next forward pass, filled in then."""
    seen: list[Tensor] = []
    for module in modules:
        module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    return seen


def outputs_of(modules: nn.ModuleList | list[nn.Module]) -> list[Tensor]:
    """The output each module gives in the next forward pass."""
    seen: list[Tensor] = []
    for module in modules:
        module.register_forward_hook(lambda _, arguments, output: seen.append(output))
    return seen


@torch.no_grad()
def test_unet2015_concatenates_the_skip_before_the_decoder() -> None:
    network = build("unet2015", width=WIDTH)
    skips, ups = outputs_of(network.encoder), outputs_of(network.up)
    joined = inputs_of(network.decoder)
    network(picture())
    for level, channels in enumerate([8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]):
        assert torch.equal(joined[level][:, :channels], skips[3 - level])
        assert torch.equal(joined[level][:, channels:], ups[level])


@torch.no_grad()
def test_unet2015_adds_skip_and_decoder_where_asked() -> None:
    network = build("unet2015", width=WIDTH, skip="add")
    skips, ups = outputs_of(network.encoder), outputs_of(network.up)
    joined = inputs_of(network.decoder)
    network(picture())
    assert all(torch.equal(joined[level], skips[3 - level] + ups[level]) for level in range(4))


@torch.no_grad()
def test_unet2015_without_padding_crops_the_middle_of_the_skip() -> None:
    network = build("unet2015", width=WIDTH, depth=1, padding="valid")
    skips, joined = outputs_of(network.encoder), inputs_of(network.decoder)
    network.inner(picture(40, 40))  # 36 in the skip; 18, 14 below; 28 after upsampling
    assert torch.equal(joined[0][:, :WIDTH], skips[0][:, :, 4:32, 4:32])


@torch.no_grad()
def test_unet2015_without_padding_has_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        network: Any = build_network("unet2015", 2, {"padding": "valid"})
        assert network.inner(torch.empty(1, 1, 572, 572)).shape == (1, 2, 388, 388)


@torch.no_grad()
@pytest.mark.parametrize(("depth", "margin", "crop"), [(1, 8, 0), (2, 20, 0), (3, 46, 2)])
def test_unet2015_without_padding_equals_its_inner_network_on_the_mirrored_image(
    depth: int, margin: int, crop: int
) -> None:
    network = build("unet2015", width=WIDTH, depth=depth, padding="valid")
    x = picture(64, 96)
    inner = network.inner(functional.pad(x, (margin,) * 4, mode="reflect"))
    assert inner.shape == (1, 2, 64 + 2 * crop, 96 + 2 * crop)
    assert torch.equal(network(x), inner[:, :, crop : 64 + crop, crop : 96 + crop])


@torch.no_grad()
def test_unet_strided_concatenates_the_decoder_before_the_skip() -> None:
    network = build("unet_strided", width=WIDTH)
    skips, ups = outputs_of(network.encoder), outputs_of(network.up)
    joined, below = inputs_of(network.decoder), inputs_of(network.up)
    network(picture())
    for level, channels in enumerate([8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]):
        assert torch.equal(joined[level][:, :channels], ups[level])
        assert torch.equal(joined[level][:, channels:], skips[3 - level])
    assert torch.equal(below[0], upsample_nearest(skips[4], 2))


@torch.no_grad()
def test_unet_strided_mirrors_the_border_so_that_a_constant_image_stays_constant() -> None:
    logits = build("unet_strided", width=WIDTH)(torch.full((1, 1, 32, 32), 0.7))
    torch.testing.assert_close(logits, logits[:, :, :1, :1].expand_as(logits))


@torch.no_grad()
def test_fcn_adds_the_scores_of_three_resolutions() -> None:
    network = build("fcn", width=WIDTH)
    pooled = outputs_of(network.stages)
    logits = network(picture(64, 64))
    coarse = network.score32(network.head(pooled[4]))
    middle = upsample_bilinear(coarse, 2) + network.score16(pooled[3])
    fine = upsample_bilinear(middle, 2) + network.score8(pooled[2])
    assert [tuple(p.shape[2:]) for p in pooled] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    assert torch.equal(logits, upsample_bilinear(fine, 8))


@torch.no_grad()
def test_deeplabv3plus_concatenates_the_pyramid_before_the_low_level_features() -> None:
    network = build("deeplabv3plus", backbone="resnet18", channels=8)
    x = picture(64, 96)
    low, high = network.encode(x)
    assert (low.shape, high.shape) == ((1, 64, 16, 24), (1, 512, 4, 6))
    joined = inputs_of([network.decoder])
    network(x)
    assert torch.equal(joined[0][:, :8], upsample_bilinear(network.pyramid(high), 4))
    assert torch.equal(joined[0][:, 8:], network.low_level(low))
    assert joined[0].shape == (1, 8 + 48, 16, 24)


@torch.no_grad()
@pytest.mark.parametrize("constructor", [resnet.resnet18, resnet.resnet50])
def test_the_dilated_stage_computes_on_every_pixel_what_it_computed_on_every_second(constructor: Any) -> None:
    stage = constructor(spatial_dims=2, n_input_channels=1, feed_forward=False).layer4.eval()
    features = torch.rand(1, 256 if constructor is resnet.resnet18 else 1024, 6, 8)
    strided = stage(features)
    dilate(stage)
    dense = stage(features)
    assert dense.shape[2:] == (6, 8)
    torch.testing.assert_close(dense[:, :, ::2, ::2], strided)
