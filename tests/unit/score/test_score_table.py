"""Scores as a table, and a whole run in a few numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from segpipe.config import Score
from segpipe.score.columns import score_columns, score_table
from segpipe.score.summary import summarise

ORDER = """
miou miou_foreground iou_lung iou_heart dice_lung dice_heart precision_lung precision_heart recall_lung recall_heart
relative_area_difference_lung relative_area_difference_heart reference_empty_lung reference_empty_heart
prediction_empty_lung prediction_empty_heart tp_lung tp_heart fp_lung fp_heart
fn_lung fn_heart tn_lung tn_heart tp_background fp_background fn_background tn_background
iou_background
"""
# Images a, b, c; classes lung and heart, then the background; tp, fp, fn, tn.
COUNTED = Score(surface=False, boundary_iou=False, calibration=False, components=False)
COUNTS = np.array(
    [
        [[2, 1, 1, 6], [5, 0, 0, 5], [3, 0, 1, 6]],
        [[4, 0, 0, 6], [0, 0, 0, 10], [6, 0, 0, 4]],
        [[0, 3, 0, 7], [1, 1, 0, 8], [2, 0, 4, 4]],
    ]
)


def report() -> pd.DataFrame:
    """Three scored images and one each of the other statuses."""
    scores = score_table(["a", "b", "c"], COUNTS, ["lung", "heart"])
    facts = {
        "image_id": list("abcdef"),
        "patient": ["p1", "p1", "p2", "p3", "p4", ""],
        "fold": ["0", "1", "1", "2", "0", ""],
        "status": ["scored"] * 3 + ["unlabelled", "quarantined", "training"],
        "reason": ["", "", "", "", "cut short", "trained the model"],
    }
    return pd.DataFrame(facts).merge(scores, on="image_id", how="left")


def test_columns_go_by_metric_and_then_by_class() -> None:
    assert score_columns(["lung", "heart"]) == ORDER.split()


def test_a_row_holds_the_counts_and_the_scores_of_its_image() -> None:
    row = score_table(["a", "b", "c"], COUNTS, ["lung", "heart"]).iloc[0]
    assert row["image_id"] == "a"
    assert (row["tp_lung"], row["fp_lung"], row["fn_lung"], row["tn_lung"]) == (2, 1, 1, 6)
    assert (row["iou_lung"], row["iou_heart"], row["iou_background"]) == (0.5, 1.0, 0.75)
    assert row["dice_lung"] == pytest.approx(2 / 3)
    assert (row["miou"], row["miou_foreground"]) == (0.75, 0.75)
    assert (row["precision_lung"], row["recall_lung"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (row["reference_empty_lung"], row["prediction_empty_lung"]) == (False, False)


def test_a_row_says_which_masks_are_empty() -> None:
    table = score_table(["a", "b", "c"], COUNTS, ["lung", "heart"])
    assert table["reference_empty_lung"].tolist() == [False, False, True]
    assert table["prediction_empty_heart"].tolist() == [False, True, False]
    assert table["relative_area_difference_lung"].tolist()[:2] == [0, 0]
    assert np.isnan(table["relative_area_difference_lung"][2]), "three pixels are no multiple of none"


def test_counts_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 classes"):
        score_table(["a", "b", "c"], COUNTS, ["lung"])


def test_a_table_of_no_images_has_all_columns() -> None:
    table = score_table([], np.zeros((0, 2, 4), np.int64), ["lung"])
    assert list(table) == ["image_id", *score_columns(["lung"])]


def test_summary_counts_images_by_status_and_patients() -> None:
    summary = summarise(report(), ["lung", "heart"], COUNTED)
    assert summary["images"] == {"total": 6, "scored": 3, "unlabelled": 1, "quarantined": 1, "training": 1}
    assert summary["patients"] == {"total": 4, "scored": 2}
    assert summary["quarantined"] == [{"image_id": "e", "reason": "cut short"}]


def test_summary_describes_the_distribution_of_each_metric() -> None:
    metrics = summarise(report(), ["lung", "heart"], COUNTED)["metrics"]
    # IoU of lung: 0.5, 1, 0
    found = {name: metrics["iou_lung"][name] for name in ("mean", "median", "q1", "q3", "n")}
    assert found == {"mean": 0.5, "median": 0.5, "q1": 0.25, "q3": 0.75, "n": 3}
    # MIoU: (0.5 + 1 + 0.75) / 3 = 0.75, 1, (0 + 0.5 + 1/3) / 3 = 0.2777...
    assert metrics["miou"]["mean"] == pytest.approx((0.75 + 1 + 5 / 18) / 3)
    assert metrics["miou"]["median"] == 0.75


def test_summary_tells_the_mean_over_images_from_the_pooled_score() -> None:
    summary = summarise(report(), ["lung", "heart"], COUNTED)
    # lung pooled: tp 6, fp 4, fn 1; heart: tp 6, fp 1; background: tp 11, fn 5
    assert summary["classes"]["lung"]["iou_mean"] == 0.5
    assert summary["classes"]["lung"]["iou_pooled"] == pytest.approx(6 / 11)
    assert summary["classes"]["lung"]["dice_pooled"] == pytest.approx(12 / 17)
    assert summary["classes"]["heart"]["iou_mean"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert summary["miou_pooled"] == pytest.approx((6 / 11 + 6 / 7 + 11 / 16) / 3)


def test_summary_has_the_means_of_every_fold() -> None:
    folds = summarise(report(), ["lung", "heart"], COUNTED)["folds"]
    assert list(folds) == ["0", "1"]
    assert (folds["0"]["n"], folds["0"]["iou_lung_mean"]) == (1, 0.5)
    assert (folds["1"]["n"], folds["1"]["iou_lung_mean"]) == (2, 0.5)


def test_summary_names_the_three_lowest_and_does_not_depend_on_the_order_of_rows() -> None:
    table = report()
    summary = summarise(table, ["lung", "heart"], COUNTED)
    assert [case["image_id"] for case in summary["worst"]] == ["c", "a", "b"]
    assert summarise(table[::-1], ["lung", "heart"], COUNTED)["worst"] == summary["worst"]


def test_summary_of_a_run_without_references_is_json_with_blanks() -> None:
    table = report()
    table = table[table["status"] != "scored"]
    summary = json.loads(json.dumps(summarise(table, ["lung", "heart"], COUNTED), allow_nan=False))
    blank = dict.fromkeys(["mean", "low", "high", "median", "q1", "q3"])
    assert summary["metrics"]["miou"] == {**blank, "n": 0}
    assert summary["metrics"]["relative_area_difference_lung"] == {**blank, "n": 0}
    assert summary["classes"]["lung"]["iou_pooled"] is None
    assert (summary["folds"], summary["worst"]) == ({}, [])


def test_images_without_a_fold_belong_to_no_fold_of_the_summary() -> None:
    assert summarise(report().assign(fold=""), ["lung", "heart"], COUNTED)["folds"] == {}
