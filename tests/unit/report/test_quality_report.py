"""Measures of quality in the report, and their correlation with IoU."""

import numpy as np
import pandas as pd
import pytest

from segpipe.report.stage import correlations
from segpipe.report.table import with_quality


def test_what_prediction_found_comes_to_the_images_and_areas_become_unusual():
    images = pd.DataFrame({"image_id": [f"i{number:02d}" for number in range(13)]})
    shares = [0.2 + 0.001 * number for number in range(11)] + [0.9]
    predictions = images[:12].assign(predicted=True, entropy_lung=0.1, predicted_share_lung=shares, components_lung=2)
    predictions.loc[0, "predicted"] = False
    found = with_quality(images, predictions, ["lung"])
    assert found["image_id"].tolist() == images["image_id"].tolist()
    assert np.isnan(found["entropy_lung"][[0, 12]]).all()
    assert found["disagreement_lung"].isna().all(), "nothing recorded it"
    assert found["predicted_area_z_lung"].idxmax() == 11
    assert found["predicted_area_z_lung"][11] > 6


def test_the_correlation_is_over_scored_images_and_of_areas_either_way():
    table = pd.DataFrame(
        {
            "status": ["scored"] * 4 + ["unlabelled"],
            "iou_lung": [0.9, 0.8, 0.7, 0.6, np.nan],
            "entropy_lung": [0.1, 0.2, 0.3, 0.4, 0.0],
            "disagreement_lung": [np.nan] * 5,
            "components_lung": pd.array([1, 1, 1, 1, 7], "Int64"),
            "predicted_area_z_lung": [0.0, -1.0, 2.0, -3.0, 9.0],
        }
    )
    found = {row["measure"]: (row["spearman"], row["n"]) for row in correlations(table, ["lung"])}
    assert found["entropy"] == found["predicted_area_z"] == (pytest.approx(-1), 4)
    assert found["disagreement"] == (None, 0)
    assert found["components"] == (None, 4)
