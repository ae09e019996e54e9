"""Losses against values computed by hand."""

import math

import pytest
import torch
from monai.losses.dice import DiceFocalLoss

from segpipe.errors import ConfigError
from segpipe.train.losses import build_loss

NAMES = ["bce", "dice", "dice_ce", "dice_focal"]
LN2 = math.log(2)


def value(name: str, logits: torch.Tensor, targets: torch.Tensor) -> float:
    return float(build_loss(name)(logits, targets))


def gradient(name: str, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    build_loss(name)(logits, targets).backward()
    assert logits.grad is not None
    return logits.grad


def random_case(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator), (torch.rand(shape, generator=generator) > 0.6).float()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # probabilities of 1/2 in four pixels, two of them set: overlap 1, sums 2 and 2
        ("bce", LN2),
        ("dice", 1 - (2 * 1 + 1) / (2 + 2 + 1)),
        ("dice_ce", 0.4 + LN2),
        ("dice_focal", 0.4 + 0.5**2 * LN2),
    ],
)
def test_four_undecided_pixels(name: str, expected: float) -> None:
    targets = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert value(name, torch.zeros(1, 1, 2, 2), targets) == pytest.approx(expected, abs=1e-6)


def test_probabilities_of_a_quarter_and_three_quarters() -> None:
    logits = torch.tensor([[[[math.log(3.0), -math.log(3.0)]]]])  # sigmoid: 3/4 and 1/4
    targets = torch.tensor([[[[1.0, 0.0]]]])
    assert value("bce", logits, targets) == pytest.approx(-math.log(0.75), abs=1e-6)
    assert value("dice", logits, targets) == pytest.approx(1 - (2 * 0.75 + 1) / (1 + 1 + 1), abs=1e-6)
    focal = value("dice_focal", logits, targets) - value("dice", logits, targets)
    assert focal == pytest.approx(0.25**2 * -math.log(0.75), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_classes_that_overlap_can_both_be_right(name: str) -> None:
    targets = torch.ones(1, 3, 8, 8)
    assert value(name, torch.full((1, 3, 8, 8), 20.0), targets) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_class_does_not_depend_on_the_logits_of_another(name: str) -> None:
    logits, targets = random_case(2, 3, 8, 8)
    changed = logits.clone()
    changed[:, 1] += 5
    before, after = gradient(name, logits, targets), gradient(name, changed, targets)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_batch_is_the_mean_over_images_and_classes(name: str) -> None:
    logits, targets = random_case(3, 2, 8, 8)
    singles = [
        value(name, logits[i : i + 1, c : c + 1], targets[i : i + 1, c : c + 1]) for i in range(3) for c in range(2)
    ]
    assert value(name, logits, targets) == pytest.approx(sum(singles) / 6, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [-1e4, -20.0, 0.0, 20.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_constant_masks_have_finite_losses_and_gradients(name: str, level: float, target: float) -> None:
    logits, targets = torch.full((2, 2, 16, 16), level), torch.full((2, 2, 16, 16), target)
    assert math.isfinite(value(name, logits, targets))
    assert torch.isfinite(gradient(name, logits, targets)).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_mask_predicted_empty_costs_nothing(name: str) -> None:
    assert value(name, torch.full((1, 1, 16, 16), -50.0), torch.zeros(1, 1, 16, 16)) == pytest.approx(0, abs=1e-6)


def test_an_empty_mask_predicted_as_three_pixels_costs_three_quarters_of_dice_and_has_a_gradient() -> None:
    logits = torch.full((1, 1, 4, 4), -50.0)
    logits[0, 0, 0, :3] = 50.0
    assert value("dice", logits, torch.zeros(1, 1, 4, 4)) == pytest.approx(3 / 4)
    logits[0, 0, 0, :3] = 2.0
    assert gradient("dice", logits, torch.zeros(1, 1, 4, 4))[0, 0, 0, 0] > 1e-3


def test_dice_focal_equals_monais_with_sigmoid() -> None:
    logits, targets = random_case(2, 3, 8, 8)
    monai = DiceFocalLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits, targets)
    assert value("dice_focal", logits, targets) == pytest.approx(float(monai), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32_also_under_autocast(name: str, dtype: torch.dtype) -> None:
    logits, targets = random_case(1, 1, 256, 256)
    logits = logits.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = build_loss(name)(logits, targets)
    assert found.dtype == torch.float32
    assert float(found) == value(name, logits.float(), targets)


def test_different_shapes_are_an_error_and_are_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"logits are \(1, 2, 4, 4\) and targets \(1, 1, 4, 4\)"):
        build_loss("dice_focal")(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))


def test_an_unknown_loss_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no loss 'iou'; choose one of bce, dice, dice_ce, dice_focal"):
        build_loss("iou")


@pytest.mark.parametrize("name", NAMES)
def test_several_resolutions_weigh_half_as_much_each_time(name: str) -> None:
    logits, targets = random_case(2, 3, 16, 16)
    half, quarter = torch.nn.functional.avg_pool2d(targets, 2), torch.nn.functional.avg_pool2d(targets, 4)
    small, tiny = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    loss = build_loss(name)
    expected = (4 * loss(logits, targets) + 2 * loss(small, half) + loss(tiny, quarter)) / 7
    assert float(loss([logits, small, tiny], targets)) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss([logits], targets)) == float(loss(logits, targets))


def test_a_thin_structure_stays_in_the_smaller_target_as_the_share_that_it_covers() -> None:
    targets = torch.zeros(1, 1, 8, 8)
    targets[..., 3] = 1
    right = torch.full((1, 1, 2, 2), -20.0)
    right[..., 0] = math.log(0.25 / 0.75)  # a column of four covers a quarter of the left half
    wrong = torch.full((1, 1, 2, 2), -20.0)
    loss = build_loss("bce")
    assert float(loss([targets * 40 - 20, right], targets)) < float(loss([targets * 40 - 20, wrong], targets)) / 2
