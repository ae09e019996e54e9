"""Names, options and the messages about wrong ones."""

import subprocess
import sys
from typing import Any

import pytest

from segpipe.errors import ConfigError
from segpipe.models.networks.registry import NETWORKS, build_network, check_options


def test_an_unknown_network_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no network 'unett'; choose one of subpixel_unet, unet, ") as caught:
        build_network("unett", 1, {})
    assert all(name in str(caught.value) for name in NETWORKS)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_an_unknown_option_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.options\.widht: .*found 3") as caught:
        build_network(name, 1, {"widht": 3})
    assert all(f"  {option} = " in str(caught.value) for option in NETWORKS[name].model_fields)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fcn", {"width": "wide"}),
        ("fcn", {"width": 16.5}),
        ("fcn", {"width": True}),
        ("fcn", {"width": 0}),
        ("unet", {"channels": 16}),
        ("unet", {"channels": [16]}),
        ("unet", {"channels": [1, 2, 3, 4, 5, 6, 7]}),
        ("unet", {"channels": [16, "32"]}),
        ("unet", {"dropout": 1.0}),
        ("basicunet", {"features": [8, 8, 8, 8, 8]}),
        ("segresnet", {"init_filters": 12}),
        ("segresnet", {"blocks_down": [1, 1]}),
        ("dynunet", {"res_block": "no"}),
        ("deeplabv3plus", {"backbone": "resnet101"}),
        ("unet2015", {"padding": "reflect"}),
        ("unet2015", {"depth": 6}),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_an_error(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)model\.options.*the options of {name}, with their defaults"):
        build_network(name, 1, options)


def test_a_network_has_at_least_one_class() -> None:
    with pytest.raises(ConfigError, match="at least one class"):
        build_network("fcn", 0, {})


def test_options_merge_over_the_defaults() -> None:
    merged = check_options("unet2015", {"depth": 2}).model_dump()
    assert merged == {**NETWORKS["unet2015"]().model_dump(), "depth": 2}


def test_a_tuple_is_as_good_as_a_list() -> None:
    assert check_options("unet", {"channels": (8, 16)}).model_dump()["channels"] == [8, 16]


def test_checking_options_imports_neither_torch_nor_monai() -> None:
    code = (
        "import sys; from segpipe.models.networks.registry import check_options; check_options('unet', {});"
        "assert not {'torch', 'monai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
