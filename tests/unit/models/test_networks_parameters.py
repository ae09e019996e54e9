"""Parameter counts, for one class, from the layers written out by hand."""

from typing import Any

import pytest
import torch

from segpipe.models.networks.registry import build_network, describe_networks, parameter_count


def count(name: str, options: dict[str, Any], classes: int = 1) -> int:
    with torch.device("meta"):
        return parameter_count(build_network(name, classes, options))


def conv_bn(inputs: int, outputs: int, size: int = 3) -> int:
    """A convolution without bias, then BatchNorm with its scale and shift."""
    return size * size * inputs * outputs + 2 * outputs


def conv(inputs: int, outputs: int, size: int = 1) -> int:
    """A convolution with bias."""
    return size * size * inputs * outputs + outputs


def block(inputs: int, outputs: int) -> int:
    """Two 3x3 convolutions with BatchNorm."""
    return conv_bn(inputs, outputs) + conv_bn(outputs, outputs)


ENCODER_64 = block(1, 64) + block(64, 128) + block(128, 256) + block(256, 512) + block(512, 1024)
DECODER_64 = block(1024, 512) + block(512, 256) + block(256, 128) + block(128, 64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unet", 3730960),
        ("basicunet", 1978433),
        ("attentionunet", 1987417),
        ("segresnet", 1576385),
        ("dynunet", 1942049),
    ],
)
def test_monai_networks_keep_their_size_across_versions(name: str, expected: int) -> None:
    assert count(name, {}) == expected


def test_fcn() -> None:
    stages = conv_bn(1, 16) + conv_bn(16, 16)
    stages += conv_bn(16, 32) + conv_bn(32, 32)
    stages += conv_bn(32, 64) + 2 * conv_bn(64, 64)
    stages += conv_bn(64, 128) + 2 * conv_bn(128, 128)
    stages += 3 * conv_bn(128, 128)
    head = conv(128, 256, 3) + conv(256, 256)
    scores = conv(256, 1) + conv(128, 1) + conv(64, 1)
    assert count("fcn", {}) == stages + head + scores == 1282963


def test_unet2015() -> None:
    up = sum(2 * 2 * 2 * c * c + c for c in (512, 256, 128, 64))
    assert count("unet2015", {}) == ENCODER_64 + up + DECODER_64 + conv(64, 1) == 31036481


def test_unet2015_without_padding_has_the_same_parameters() -> None:
    assert count("unet2015", {"padding": "valid"}) == count("unet2015", {})


def test_unet2015_with_bilinear_upsampling() -> None:
    up = conv(1024, 512) + conv(512, 256) + conv(256, 128) + conv(128, 64)
    assert count("unet2015", {"upsampling": "bilinear"}) == ENCODER_64 + up + DECODER_64 + conv(64, 1)


def test_unet2015_with_added_skips_halves_the_input_of_each_decoder_block() -> None:
    saved = sum(9 * c * c for c in (512, 256, 128, 64))
    assert count("unet2015", {"skip": "add"}) == count("unet2015", {}) - saved


def test_unet_strided() -> None:
    down = conv_bn(64, 64) + conv_bn(128, 128) + conv_bn(256, 256) + conv_bn(512, 512)
    up = conv(1024, 512) + conv(512, 256) + conv(256, 128) + conv(128, 64)
    assert count("unet_strided", {}) == ENCODER_64 + down + up + DECODER_64 + conv(64, 1) == 32082881


def bottlenecks(inputs: int, planes: int, number: int) -> int:
    """A stage of ResNet-50: 1x1, 3x3, 1x1 convolutions, and a 1x1 shortcut in the first block."""
    first = conv_bn(inputs, planes, 1) + conv_bn(planes, planes) + conv_bn(planes, 4 * planes, 1)
    other = conv_bn(4 * planes, planes, 1) + conv_bn(planes, planes) + conv_bn(planes, 4 * planes, 1)
    return first + conv_bn(inputs, 4 * planes, 1) + (number - 1) * other


def test_deeplabv3plus() -> None:
    resnet = conv_bn(1, 64, 7) + bottlenecks(64, 64, 3)
    resnet += bottlenecks(256, 128, 4) + bottlenecks(512, 256, 6) + bottlenecks(1024, 512, 3)
    # the usual ResNet-50 has 25 557 032, with 3 input channels and 1000 classes
    assert resnet == 25557032 - 2 * 7 * 7 * 64 - conv(2048, 1000)
    pyramid = conv_bn(2048, 256, 1) + 3 * conv_bn(2048, 256) + conv(2048, 256) + conv_bn(5 * 256, 256, 1)
    decoder = conv_bn(256, 48, 1) + conv_bn(256 + 48, 256) + conv_bn(256, 256) + conv(256, 1)
    assert count("deeplabv3plus", {}) == resnet + pyramid + decoder == 40340513


def test_a_class_more_costs_one_more_row_of_the_last_layer() -> None:
    assert count("unet2015", {}, classes=3) == count("unet2015", {}) + 2 * conv(64, 1)
    assert count("fcn", {}, classes=2) == count("fcn", {}) + conv(256, 1) + conv(128, 1) + conv(64, 1)


def test_the_description_of_the_networks_has_a_line_each_with_the_count() -> None:
    lines = describe_networks()
    assert lines[0].split()[:2] == ["subpixel_unet", "3,294,544"]
    assert lines[1].split()[:2] == ["unet", "3,730,960"]
    assert any(line.startswith("unet2015") and "31,036,481" in line for line in lines)
    assert len(lines) == 10


def test_subpixel_unet() -> None:
    def residual(inputs: int, outputs: int, convolutions: int) -> int:
        shortcut = inputs * outputs if inputs != outputs else 0
        return conv_bn(inputs, outputs) + (convolutions - 1) * conv_bn(outputs, outputs) + shortcut

    channels = [32, 64, 128, 256, 256]
    encoder = sum(residual(i, o, 2) for i, o in zip([16, *channels[:-1]], channels, strict=True))
    decoder = sum(i * o + residual(o, o, 1) for i, o in zip(channels[:0:-1], channels[-2::-1], strict=True))
    assert count("subpixel_unet", {}) == encoder + decoder + conv(32, 16) == 3294544
    coarse = sum(conv(channel, 1) for channel in channels[1:-1])
    assert count("subpixel_unet", {"deep_supervision": True}) == 3294544 + coarse
