"""Scores of counts, by hand and against MONAI."""

import numpy as np
import pytest

from segpipe.score.overlap import dice, iou, miou, miou_foreground, precision, recall, relative_area_difference
from tests.unit.score.masks import confusion_counts

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


#       tp, fp, fn, tn   precision, recall, relative area difference
MORE = [
    ([2, 1, 1, 6], 2 / 3, 2 / 3, 0.0),
    ([3, 0, 1, 0], 1.0, 0.75, -0.25),
    ([2, 6, 2, 0], 0.25, 0.5, 1.0),
    ([0, 3, 3, 0], 0.0, 0.0, 0.0),
    ([0, 0, 0, 9], 1.0, 1.0, 0.0),  # empty in both
    ([0, 4, 0, 5], 0.0, 0.0, np.nan),  # empty in the reference only
    ([0, 0, 4, 5], 0.0, 0.0, -1.0),  # empty in the prediction only
]


@pytest.mark.parametrize(("counts", "expected_precision", "expected_recall", "difference"), MORE)
def test_precision_recall_and_area_of_counts(
    counts: list[int], expected_precision: float, expected_recall: float, difference: float
) -> None:
    assert precision(np.array(counts)) == pytest.approx(expected_precision)
    assert recall(np.array(counts)) == pytest.approx(expected_recall)
    assert relative_area_difference(np.array(counts)) == pytest.approx(difference, nan_ok=True)


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


def test_scores_equal_those_of_torchmetrics_where_nothing_is_empty() -> None:
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.functional")
    pair = np.random.default_rng(0).random((2, 1, 30, 40)) < 0.4
    counts = confusion_counts(*pair)[0]
    tensors = [torch.from_numpy(masks.ravel()).int() for masks in pair]
    theirs = {
        iou: functional.jaccard_index,
        dice: functional.f1_score,
        precision: functional.precision,
        recall: functional.recall,
    }
    for ours, function in theirs.items():
        assert float(ours(counts)) == pytest.approx(float(function(*tensors, task="binary")), abs=1e-6)


def test_torchmetrics_gives_no_credit_for_finding_nothing_where_nothing_is() -> None:
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.functional")
    nothing = torch.zeros(9).int()
    assert [float(f(nothing, nothing, task="binary")) for f in (functional.jaccard_index, functional.f1_score)] == [
        0,
        0,
    ]
    assert iou(np.array([0, 0, 0, 9])) == dice(np.array([0, 0, 0, 9])) == 1
