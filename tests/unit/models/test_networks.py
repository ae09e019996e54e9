"""What holds for every network: shapes, gradients, determinism, independence of the images of a batch."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from segpipe.errors import ConfigError
from segpipe.models.networks.registry import NETWORKS, build_network, check_options

SMALL: dict[str, dict[str, Any]] = {
    "subpixel_unet": {"channels": [4, 8, 16], "factor": 2},
    "unet": {"channels": [4, 8, 16, 32]},
    "basicunet": {"features": [4, 4, 8, 8, 16, 4]},
    "attentionunet": {"channels": [4, 8, 16]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]},
    "dynunet": {"filters": [4, 8, 16, 32]},
    "fcn": {"width": 4},
    "deeplabv3plus": {"backbone": "resnet18", "channels": 8},
    "unet2015": {"width": 4},
    "unet_strided": {"width": 4},
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *SMALL.items(),
    ("subpixel_unet", {"channels": [4, 8], "factor": 4, "norm": "batch", "deep_supervision": True}),
    ("subpixel_unet", {"channels": [4, 8, 8, 8], "factor": 2}),
    ("unet", {"channels": [4, 8], "num_res_units": 0, "norm": "batch", "dropout": 0.1}),
    ("dynunet", {"filters": [4, 8, 16], "res_block": True, "norm": "batch", "dropout": 0.1}),
    ("segresnet", {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1], "dropout": 0.1}),
    ("deeplabv3plus", {"backbone": "resnet50", "channels": 8}),
    ("unet2015", {"width": 4, "depth": 2, "padding": "valid", "skip": "add"}),
    ("unet2015", {"width": 4, "depth": 3, "padding": "valid", "upsampling": "bilinear"}),
    ("unet2015", {"width": 4, "upsampling": "bilinear", "skip": "add"}),
]
# torch.use_deterministic_algorithms lists these as raising, or as slow, when differentiated on CUDA.
NOT_DETERMINISTIC_ON_CUDA = {
    "reflection_pad2d_backward",
    "replication_pad2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "_adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "max_unpool2d",
    "index_add",
    "index_put",
    "_index_put_impl_",
    "scatter_add",
    "grid_sampler_2d_backward",
}

every_network = pytest.mark.parametrize(("name", "options"), SMALL.items(), ids=list(SMALL))
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS)


@pytest.fixture(autouse=True)
def one_deterministic_thread() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def seeded(name: str, options: dict[str, Any], classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return build_network(name, classes, options)


def images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(1))


def test_the_small_networks_cover_the_registry() -> None:
    assert set(SMALL) == set(NETWORKS)


@every_variant
def test_logits_have_the_size_of_the_image_and_a_channel_per_class(name: str, options: dict[str, Any]) -> None:
    for classes, height, width in [(1, 64, 64), (2, 32, 96), (5, 96, 64)]:
        network = seeded(name, options, classes).eval()
        with torch.no_grad():
            logits = network(images(2, height, width))
        assert logits.shape == (2, classes, height, width)
        assert logits.dtype == torch.float32


@every_network
def test_a_batch_of_one_smallest_image_can_be_trained_on(name: str, options: dict[str, Any]) -> None:
    default_depth = {key: value for key, value in options.items() if key in ("width", "backbone")}
    network = seeded(name, default_depth)
    side = check_options(name, default_depth).smallest_side()
    assert network(images(1, side, side)).shape == (1, 2, side, side)


def test_a_side_that_halves_to_odd_numbers_keeps_its_size() -> None:
    network = seeded("subpixel_unet", {"channels": [4, 4, 4, 4, 4]})  # 160 pixels: 40, 20, 10, 5, 3
    assert network(images(1, 160, 224)).shape == (1, 2, 160, 224)


def test_a_size_that_leaves_a_level_one_pixel_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"needs a preprocess.size of at least 128, not 96"):
        check_options("subpixel_unet", {}, 96)
    assert check_options("subpixel_unet", {"channels": [8, 8, 8, 8]}, 96)
    assert check_options("unet", {}, 64)


@every_variant
def test_every_parameter_gets_a_finite_gradient(name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options)
    network(images(2, 64, 64)).square().mean().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@every_network
def test_two_steps_from_the_same_seed_give_the_same_bits(name: str, options: dict[str, Any]) -> None:
    runs = []
    for _ in range(2):
        network = seeded(name, options)
        optimizer = torch.optim.AdamW(network.parameters())
        for _ in range(2):
            optimizer.zero_grad()
            network(images(2, 64, 64)).square().mean().backward()
            optimizer.step()
        runs.append(network.state_dict())
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


def trained_a_little(name: str, options: dict[str, Any]) -> nn.Module:
    """In evaluation mode, with running statistics that are not the initial ones."""
    network = seeded(name, options)
    network(images(3, 64, 64))
    return network.eval()


@every_variant
@torch.no_grad()
def test_the_logits_of_an_image_do_not_depend_on_its_place_or_neighbours(name: str, options: dict[str, Any]) -> None:
    network, batch = trained_a_little(name, options), images(3, 64, 64)
    logits = network(batch)
    assert torch.equal(network(batch.flip(0)).flip(0), logits)
    batch[1:] += 1
    assert torch.equal(network(batch)[0], logits[0])


@every_variant
@torch.no_grad()
def test_the_logits_of_an_image_do_not_depend_on_the_size_of_the_batch_but_for_rounding(
    name: str, options: dict[str, Any]
) -> None:
    network, batch = trained_a_little(name, options), images(3, 64, 64)
    alone = torch.cat([network(batch[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(batch), alone, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_at_full_size_the_logits_do_not_depend_on_the_size_of_the_batch_at_all() -> None:
    # PyTorch's CPU convolution has another kernel for small inputs, and small means the whole batch
    # (at most 20,480 values, docs/engines.md); from 512 x 512 on, every input of this network is large.
    network, batch = trained_a_little("unet", {}), images(3, 512, 512)
    assert torch.equal(network(batch)[:1], network(batch[:1]))


class Operations(TorchDispatchMode):
    """Remembers the names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_the_recorder_sees_operations_of_the_backward_pass() -> None:
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    with Operations() as seen:
        nn.functional.pad(x, (1, 1, 1, 1), mode="reflect").sum().backward()
    assert seen.names & NOT_DETERMINISTIC_ON_CUDA == {"reflection_pad2d_backward"}


@every_variant
def test_no_operation_is_used_whose_gradient_is_not_deterministic_on_cuda(name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options)
    with Operations() as seen:
        network(images(2, 64, 64)).sum().backward()
    assert not seen.names & NOT_DETERMINISTIC_ON_CUDA
