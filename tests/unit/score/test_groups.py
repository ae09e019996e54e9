"""Groups of images: which they are, and that their figures are those of their images alone."""

import numpy as np
import pandas as pd
import pytest

from segpipe.config import Score
from segpipe.errors import ConfigError
from segpipe.score.columns import score_table
from segpipe.score.groups import group_table, groups_of, miou_of_groups
from segpipe.score.summary import metric_columns, of_images, pooled

COUNTED = Score(surface=False, boundary_iou=False, calibration=False, components=False)


def report(images: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, (images, 2, 4))
    names = [f"i{number:02d}" for number in range(images)]
    facts = {
        "image_id": names,
        "patient": [f"p{number // 2}" for number in range(images)],
        "status": "scored",
        "fold": [str(number % 3) for number in range(images)],
        "site": ["north" if number % 4 else "" for number in range(images)],
        "finding": ["none" if number % 3 else "effusion" for number in range(images)],
        "age": [str(20 + 3 * number) if number else "" for number in range(images)],
        "rows": pd.array([512 + number for number in range(images)], "Int64"),
        "inverted": pd.array([number % 2 == 0 for number in range(images)], "boolean"),
    }
    table = pd.DataFrame(facts).merge(score_table(names, counts, ["lung"]), on="image_id")
    table.loc[5, "status"] = "training"
    return table


def table_of(by, bands=None):
    return group_table(report(), ["lung"], COUNTED, by, bands or {}, seed=3)


def test_the_first_rows_are_of_all_scored_images():
    found = table_of([])
    assert set(found["by"]) == set(found["group"]) == {"all"}
    assert found["metric"].tolist() == metric_columns(["lung"], COUNTED)
    row = found.set_index("metric").loc["iou_lung"]
    scored = report().query("status == 'scored'")
    assert row["images"] == 23
    assert row["patients"] == 12
    assert row["mean"] == pytest.approx(scored["iou_lung"].mean())
    assert row["median"] == pytest.approx(scored["iou_lung"].median())
    tp, fp, fn = (scored[f"{count}_lung"].sum() for count in ("tp", "fp", "fn"))
    assert row["pooled"] == pytest.approx(tp / (tp + fp + fn))
    assert row["low"] < row["mean"] < row["high"]
    assert row["pooled_low"] < row["pooled"] < row["pooled_high"]


def test_a_groups_figures_are_those_of_its_images_alone():
    found = table_of(["finding"]).query("by == 'finding' and group == 'effusion'").set_index("metric")
    rows = report().query("status == 'scored' and finding == 'effusion'")
    alone = of_images(rows, ["miou"], 3, 2000)["miou"]
    assert found.loc["miou", ["mean", "low", "high"]].tolist() == [alone["mean"], alone["low"], alone["high"]]
    assert found.loc["miou", "pooled"] == pooled(rows, ["lung"], 3, 2000)["miou"]["pooled"]


def test_the_rows_may_come_in_any_order():
    shuffled = group_table(report()[::-1], ["lung"], COUNTED, ["finding"], {}, seed=3)
    pd.testing.assert_frame_equal(shuffled, table_of(["finding"]), rtol=1e-12)


def test_a_column_with_one_group_or_none_adds_nothing():
    assert set(table_of(["site"])["by"]) == {"all"}, "blank cells are no group"
    assert set(group_table(report().assign(site=""), ["lung"], COUNTED, ["site"], {}, 0)["by"]) == {"all"}


def test_texts_are_groups_in_their_order_and_numbers_in_theirs():
    assert list(groups_of(report(), "finding", {})) == ["effusion", "none"]
    numbered = report().assign(age=[str(number % 4 * 5) for number in range(24)])
    assert list(groups_of(numbered, "age", {})) == ["0", "5", "10", "15"]
    assert list(groups_of(report(), "inverted", {})) == ["False", "True"]


def test_many_numbers_are_cut_at_their_quartiles():
    found = groups_of(report(), "rows", {})
    assert list(found) == ["below 517.75", "517.75 to 523.5", "523.5 to 529.25", "529.25 and more"]
    assert [int(rows.sum()) for rows in found.values()] == [6, 6, 6, 6]


def test_bands_begin_where_the_config_says_and_blanks_are_in_none():
    found = groups_of(report(), "age", {"age": [26, 50]})
    ages = report()["age"].to_numpy()
    assert {name: ages[rows].tolist() for name, rows in found.items()} == {
        "below 26": ["23"],
        "26 to 50": ["26", "29", "32", "35", "38", "41", "44", "47"],
        "50 and more": [str(age) for age in range(50, 90, 3)],
    }


def test_pairs_of_groups_are_those_that_occur():
    found = groups_of(report(), "finding+fold", {})
    assert list(found) == ["effusion+0", "none+1", "none+2"]
    assert not (found["effusion+0"] & found["none+1"]).any()


def test_bands_of_texts_are_an_error_that_quotes_one():
    with pytest.raises(ConfigError, match="'effusion', which is no number"):
        table_of(["finding"], {"finding": [1]})


def test_a_column_of_names_is_no_group():
    many = report(101).assign(finding=[f"f{number}" for number in range(101)])
    with pytest.raises(ConfigError, match="101 groups"):
        groups_of(many, "finding", {})


def test_the_summary_has_the_miou_of_each_group_with_blanks_for_json():
    few = report().iloc[:3].assign(finding=["a", "b", "b"])
    found = miou_of_groups(group_table(few, ["lung"], COUNTED, ["finding"], {}, 0))
    first = found[0]
    assert (first["by"], first["group"], first["images"], first["low"]) == ("finding", "a", 1, None)
    assert list(found[1]) == ["by", "group", "images", "patients", "mean", "low", "high"]


def test_images_without_a_patient_are_patients_of_their_own():
    alone = report().assign(patient="")
    assert of_images(alone, ["miou"], 0)["miou"]["low"] == of_images(
        alone.assign(patient=alone["image_id"]), ["miou"], 0
    )["miou"]["low"]  # fmt: skip


def test_a_metric_that_one_patient_has_is_without_an_interval():
    rows = report(8).assign(hd95_mm_lung=[1.0, 2.0, *[None] * 6], assd_mm_lung=[1.0, None, 2.0, *[None] * 5])
    of_one, of_two = of_images(rows, ["hd95_mm_lung", "assd_mm_lung"], 0).values()
    assert [of_one[key] for key in ("mean", "low", "high")] == [1.5, None, None]
    assert of_two["low"] < of_two["high"]


def test_a_class_that_is_nowhere_is_pooled_to_one():
    nothing = score_table(["a", "b"], np.array([[[0, 0, 0, 9], [9, 0, 0, 0]]] * 2), ["lung"])
    rows = nothing.assign(patient=["p", "q"], status="scored")
    assert pooled(rows, ["lung"], 0)["iou_lung"] == {"pooled": 1.0, "low": 1.0, "high": 1.0}
