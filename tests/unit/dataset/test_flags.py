"""Each flag with a row that raises it and one that does not."""

import numpy as np
import pandas as pd
import pytest

from segpipe.config import Checks
from segpipe.dataset.flags import RULES, count_flags, image_flags, worst

GOOD = {
    "image_id": "i", "status": "labelled", "notes": "", "rows": 700, "columns": 500, "size": 512, "polarity_score": 0.3,
    "orientation_gain": -0.1, "flat_share": 0.3, "grey_levels": 200, "black_share": 0.1, "white_share": 0.0,
    "burned_in_annotation": "NO", "recognizable_visual_features": "", "mask_outside_field": 0.0,
    "mask_share_lung": 0.25, "mask_share_heart": 0.08,
}  # fmt: skip

RAISED = {
    "polarity": {"polarity_score": -0.2},
    "orientation": {"orientation_gain": 0.4},
    "flat": {"flat_share": 0.99},
    "few_grey_levels": {"grey_levels": 2},
    "clipped": {"white_share": 0.5},
    "aspect_ratio": {"columns": 100},
    "tiny": {"rows": 200, "columns": 150},
    "burned_in_annotation": {"burned_in_annotation": "YES"},
    "recognizable_visual_features": {"recognizable_visual_features": "YES"},
    "mask_empty:heart": {"mask_share_heart": 0.0},
    "mask_full:lung": {"mask_share_lung": 0.95},
    "mask_outside": {"notes": "x:1; mask_outside:lung:0.2500"},
}


def table(*changes):
    return pd.DataFrame([{**GOOD, "image_id": f"i{number:02d}", **change} for number, change in enumerate(changes)])


def flags(*changes, checks=None):
    return image_flags(table(*changes), checks or Checks(), ["lung", "heart"]).tolist()


@pytest.mark.parametrize("flag", RAISED)
def test_a_flag_is_raised_by_its_reason_and_by_nothing_else(flag):
    assert flags({}, RAISED[flag]) == ["", flag]


def test_every_rule_has_a_case_here():
    assert {flag.partition(":")[0] for flag in RAISED} | {"mask_area"} == set(RULES)


def test_a_mask_in_the_flat_border_of_the_image_is_outside_too():
    assert flags({"mask_outside_field": 0.2}, {"notes": "mask_outside:lung:0.0100"}) == ["mask_outside", ""]


def test_what_an_import_cut_off_is_outside_too():
    imported = {"carried:mask_notes": "mask_outside:lung:0.0100 mask_outside:heart:0.3000"}
    assert flags(imported, {"carried:mask_notes": ""}) == ["mask_outside", ""]


def test_an_area_unlike_the_others_is_flagged_on_a_scale_of_factors():
    shares = [0.2, 0.22, 0.24, 0.25, 0.25, 0.26, 0.27, 0.28, 0.3, 0.31, 0.02]
    found = flags(*({"mask_share_lung": share} for share in shares))
    assert found == [""] * 10 + ["mask_area:lung"]


def test_equal_areas_have_no_outlier_within_a_few_percent():
    assert flags(*({"mask_share_lung": share} for share in [0.2] * 11 + [0.21])) == [""] * 12


def test_few_masks_have_no_usual_area():
    assert flags({}, {}, {"mask_share_lung": 0.001}) == ["", "", ""]


def test_flags_come_in_a_fixed_order():
    assert flags({**RAISED["tiny"], **RAISED["polarity"], **RAISED["mask_empty:heart"]}) == [
        "polarity; tiny; mask_empty:heart"
    ]


def test_a_quarantined_row_knows_nothing_and_has_no_flags():
    blank = dict.fromkeys(GOOD) | {"status": "quarantined"}
    assert flags(blank, {}) == ["", ""]
    assert flags(blank) == [""]


def test_thresholds_are_those_of_the_config():
    assert flags(RAISED["polarity"], checks=Checks(polarity=0.5)) == [""]
    assert flags({}, checks=Checks(tiny=2)) == ["tiny"]


def test_flags_are_counted_in_order_and_the_worst_comes_first():
    images = table({"polarity_score": -0.2}, {"grey_levels": 2, "polarity_score": -0.9}, {})
    images["flags"] = image_flags(images, Checks(), ["lung", "heart"])
    assert count_flags(images["flags"]) == {"polarity": 2, "few_grey_levels": 1}
    found = worst(images, "polarity", Checks())
    assert found.index.tolist() == ["i01", "i00"]
    assert np.allclose(found, [-0.9, -0.2])
