"""Tables that do not belong together, and shards that are missing."""

import pandas as pd
import pytest

from segpipe.errors import InputError
from segpipe.preprocess.store import write_table
from segpipe.report.table import check_scored, read_scores


def test_a_class_that_was_renamed_is_an_error_that_says_what_to_do(tmp_path):
    write_table(tmp_path / "scores/0.parquet", pd.DataFrame({"image_id": ["a"], "iou_lung": [0.5]}))
    assert read_scores(tmp_path, ["0"], ["iou_lung"])["iou_lung"].tolist() == [0.5]
    with pytest.raises(InputError, match=r"no column iou_lungs.*other classes.*Delete it"):
        read_scores(tmp_path, ["0"], ["image_id", "iou_lungs"])
    with pytest.raises(InputError, match=r"1\.parquet is missing.*every shard"):
        read_scores(tmp_path, ["0", "1"], ["image_id"])


@pytest.mark.parametrize(("predicted", "seen"), [(False, False), (True, True)])
def test_scores_of_what_may_not_be_scored_are_refused(predicted, seen):
    scores = pd.DataFrame({"image_id": ["a", "b"]})
    predictions = pd.DataFrame({"image_id": ["a", "b"], "predicted": [True, predicted], "seen": [False, seen]})
    with pytest.raises(InputError, match=r"1 of 2 images have scores.*'b'.*different models or runs"):
        check_scored(scores, predictions)
    check_scored(scores[:1], predictions)
