"""Scores of counts, by hand and against MONAI."""

import numpy as np
import pytest

from segpipe.score.counts import confusion_counts
from segpipe.score.overlap import dice, iou, miou, miou_foreground

#       tp, fp, fn, tn        iou     dice
TABLE = [
    ([2, 1, 1, 6], 0.5, 2 / 3),
    ([3, 0, 1, 0], 0.75, 6 / 7),
    ([5, 0, 0, 5], 1.0, 1.0),
    ([0, 0, 0, 9], 1.0, 1.0),  # empty in both
    ([0, 4, 0, 5], 0.0, 0.0),  # empty in the reference only
    ([0, 0, 4, 5], 0.0, 0.0),  # empty in the prediction only
]


@pytest.mark.parametrize(("counts", "expected_iou", "expected_dice"), TABLE)
def test_iou_and_dice_of_counts(counts: list[int], expected_iou: float, expected_dice: float) -> None:
    assert iou(np.array(counts)) == pytest.approx(expected_iou)
    assert dice(np.array(counts)) == pytest.approx(expected_dice)


def test_scores_of_many_images_are_computed_at_once() -> None:
    counts = np.array([row for row, _, _ in TABLE]).reshape(3, 2, 4)
    expected = np.array([value for _, value, _ in TABLE]).reshape(3, 2)
    np.testing.assert_allclose(iou(counts), expected)
    np.testing.assert_allclose(miou(counts), expected.mean(axis=1))
    np.testing.assert_allclose(miou_foreground(counts), expected[:, 0])


def test_miou_counts_the_background_as_one_class_more() -> None:
    counts = np.array([[2, 1, 1, 6], [5, 0, 0, 5], [3, 0, 1, 6]])  # two classes, then the background
    assert miou(counts) == pytest.approx((0.5 + 1.0 + 0.75) / 3)
    assert miou_foreground(counts) == pytest.approx((0.5 + 1.0) / 2)


def test_whole_numbers_of_any_size_give_finite_scores_without_warnings() -> None:
    assert iou(np.array([2**40, 0, 2**40, 0], np.int64)) == 0.5


def empties() -> tuple[np.ndarray, np.ndarray]:
    """Four images, (4, 1, 4, 4) bool: filled or empty in prediction and reference in every combination."""
    half = np.arange(16).reshape(1, 4, 4) < 8
    quarter, nothing = half & (np.arange(4) < 2), np.zeros_like(half)
    return np.stack([half, half, nothing, nothing]), np.stack([quarter, nothing, quarter, nothing])


def with_background(masks: np.ndarray) -> np.ndarray:
    return np.concatenate([~masks.any(axis=1, keepdims=True), masks], axis=1)


def test_scores_equal_those_of_monai_where_empties_are_not_ignored() -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    prediction, reference = empties()
    counts = np.stack([confusion_counts(*pair) for pair in zip(prediction, reference, strict=True)])
    pair = [torch.from_numpy(with_background(masks)).float() for masks in (prediction, reference)]
    for ours, theirs in ((iou, metrics.compute_iou), (dice, metrics.compute_dice)):
        expected = theirs(*pair, include_background=True, ignore_empty=False).numpy()
        np.testing.assert_allclose(ours(counts)[:, ::-1], expected, atol=1e-6)  # ours has the background last


def test_monai_leaves_out_an_invented_mask_by_default_and_segpipe_does_not() -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    prediction, reference = empties()
    pair = [torch.from_numpy(masks).float() for masks in (prediction, reference)]
    for metric in (metrics.compute_iou, metrics.compute_dice):
        assert np.isnan(metric(*pair).numpy()[:, 0]).tolist() == [False, True, False, True]
    counts = np.stack([confusion_counts(*pair) for pair in zip(prediction, reference, strict=True)])
    assert iou(counts)[:, 0].tolist() == [0.5, 0.0, 0.0, 1.0]
