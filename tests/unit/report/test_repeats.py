"""Seeds alone beside seeds together."""

import numpy as np
import pandas as pd
import pytest

from segpipe.preprocess.store import write_table
from segpipe.report.stage import spread
from segpipe.report.table import build_report, with_repeats
from segpipe.score.columns import score_table


def scores(*ious):
    counts = np.array([[[iou, 100 - iou, 0, 0]] * 2 for iou in ious], np.int64).reshape(-1, 2, 4)
    return score_table([f"i{number}" for number in range(len(ious))], counts, ["lung"])


def test_each_seed_has_a_column_matched_by_image_and_the_summary_their_means(tmp_path):
    for repeat, ious in ((1, (80, 90)), (2, (84, 70))):
        backwards = scores(*ious).iloc[::-1]
        for number, shard in enumerate(("0000", "0001")):
            write_table(tmp_path / f"repeats/{repeat}/scores/{shard}.parquet", backwards.iloc[number::2])
    joined = with_repeats(scores(85, 91), tmp_path, ["0000", "0001"], [1, 2])
    images = pd.DataFrame({"image_id": ["i0", "i1", "i2"], "status": ["scored", "scored", "unlabelled"]})
    table = build_report(images, joined, ["lung"], [], [1, 2])
    assert table["miou_repeat_1"].tolist() == pytest.approx([0.80, 0.90, np.nan], nan_ok=True)
    assert table["miou_repeat_2"].tolist() == pytest.approx([0.84, 0.70, np.nan], nan_ok=True)
    assert table["miou_repeats_sd"].tolist()[:2] == pytest.approx([0.04 / 2**0.5, 0.2 / 2**0.5])
    found = spread(table, [1, 2])
    assert found["miou"] == pytest.approx([0.85, 0.77])
    assert found["sd"] == pytest.approx(0.08 / 2**0.5)
    assert found["together"] == pytest.approx(0.88)


def test_one_seed_leaves_scores_as_they_are_and_reads_nothing(tmp_path):
    one = scores(80)
    assert with_repeats(one, tmp_path / "nowhere", ["0000"], [1]) is one


def test_no_scored_image_has_no_spread():
    images = pd.DataFrame({"image_id": ["i0"], "status": ["unlabelled"]})
    table = build_report(images, scores(), ["lung"], [], [1, 2])
    assert spread(table, [1, 2]) == {"miou": [None, None], "sd": None, "together": None}
