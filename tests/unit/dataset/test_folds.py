import pandas as pd
import pytest

from segpipe.config import Folds
from segpipe.dataset.folds import assign_folds, roles
from segpipe.errors import ConfigError, InputError


def images(patients=60, each=2, wanted=""):
    rows = [
        {
            "image_id": f"p{p}-{i}",
            "image": f"p{p}-{i}.png",
            "patient": f"p{p}",
            "status": "labelled",
            "fold_wanted": wanted,
        }
        for p in range(patients)
        for i in range(each)
    ]
    return pd.DataFrame(rows)


def test_kfold_puts_every_patient_in_one_fold_and_uses_all_folds():
    table = images()
    table["fold"] = assign_folds(table, Folds(k=3), seed=0)
    assert set(table["fold"]) == {"0", "1", "2"}
    assert (table.groupby("patient")["fold"].nunique() == 1).all()


def test_growing_data_moves_nobody_and_a_seed_moves_many():
    few, many = images(40), images(60)
    before, after = assign_folds(few, Folds(), 0), assign_folds(many, Folds(), 0)
    assert (before == after.iloc[: len(before)]).all()
    assert (assign_folds(few, Folds(), 1) != before).mean() > 0.4


def test_no_model_tests_a_patient_it_saw():
    table, folds = images(), Folds(k=3, val_fraction=0.2)
    table["fold"] = assign_folds(table, folds, 0)
    tested = []
    for model in folds.models:
        role = roles(table, folds, model, 0)
        assert set(role) == {"train", "val", "test"}
        assert (table.assign(role=role).groupby("patient")["role"].nunique() == 1).all()
        tested.append(role == "test")
    assert (sum(part.astype(int) for part in tested) == 1).all(), "each image is tested by exactly one model"


def test_a_patient_without_masks_has_no_fold_and_an_unlabelled_second_image_follows_its_patient():
    table = images(30)
    table.loc[table["patient"] == "p7", "status"] = "unlabelled"
    table.loc[table["image_id"] == "p8-1", "status"] = "unlabelled"
    table["fold"] = assign_folds(table, Folds(), 0)
    assert set(table.loc[table["patient"] == "p7", "fold"]) == {""}
    assert table.loc[table["patient"] == "p8", "fold"].nunique() == 1
    assert set(roles(table, Folds(), "fold0", 0)[table["patient"] == "p7"]) == {""}


def test_at_least_one_patient_validates_however_small_the_fraction():
    table, folds = images(20, 1), Folds(val_fraction=0.001)
    table["fold"] = assign_folds(table, folds, 0)
    assert (roles(table, folds, "fold1", 0) == "val").sum() == 1


def test_holdout_has_three_parts_of_about_the_wanted_size():
    table, folds = images(400, 1), Folds(scheme="holdout", test_fraction=0.3, val_fraction=0.2)
    table["fold"] = assign_folds(table, folds, 0)
    share = table["fold"].value_counts(normalize=True)
    assert share["test"] == pytest.approx(0.3, abs=0.06)
    assert share["val"] == pytest.approx(0.14, abs=0.05)
    assert (roles(table, folds, "holdout", 0) == table["fold"]).all()


def test_a_column_decides_and_a_patient_in_two_folds_is_refused():
    table, folds = images(3, 2), Folds(k=3, column="part")
    table["fold_wanted"] = [number // 2 for number in range(6)]
    table["fold_wanted"] = table["fold_wanted"].astype(str)
    assert assign_folds(table, folds, 0).tolist() == table["fold_wanted"].tolist()
    table.loc[1, "fold_wanted"] = "2"
    with pytest.raises(InputError, match=r"p0-1\.png is in folds 0 and 2"):
        assign_folds(table, folds, 0)
    table.loc[1, "fold_wanted"] = "three"
    with pytest.raises(ConfigError, match="has 'three' in part"):
        assign_folds(table, folds, 0)


@pytest.mark.parametrize(
    ("patients", "folds", "says"),
    [
        (1, Folds(), r"1 patient with masks: too few to train\. A model needs at least three"),
        (2, Folds(scheme="holdout"), r"2 patients with masks: too few to train"),
        (5, Folds(k=8), r"5 patients with masks cannot fill the 8 folds of folds\.k.*Set folds\.k to 2 or less"),
        (9, Folds(k=8), r"9 patients with masks, but none in the folds .* of kfold\..*another seed"),
        (4, Folds(scheme="holdout", column="part"), r"none in the folds val, test of holdout\. .*the column part"),
    ],
)
def test_too_few_patients_is_an_error_that_says_what_to_do(patients, folds, says):
    with pytest.raises(InputError, match=says):
        assign_folds(images(patients, wanted="train"), folds, 0)
