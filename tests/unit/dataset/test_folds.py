import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.config import Folds
from segpipe.dataset.folds import assign_folds, roles
from segpipe.errors import ConfigError, InputError

CLASSES = ["lung", "heart"]


def images(patients=60, each=2, wanted=""):
    rows = [
        {
            "image_id": f"p{p}-{i}",
            "image": f"p{p}-{i}.png",
            "patient": f"p{p}",
            "site": "",
            "notes": "",
            "status": "labelled",
            "fold_wanted": wanted,
        }
        for p in range(patients)
        for i in range(each)
    ]
    return pd.DataFrame(rows)


def test_kfold_puts_every_patient_in_one_fold_and_uses_all_folds():
    table = images()
    table["fold"] = assign_folds(table, Folds(k=3), 0, CLASSES)
    assert set(table["fold"]) == {"0", "1", "2"}
    assert (table.groupby("patient")["fold"].nunique() == 1).all()


@pytest.mark.parametrize("seed", range(10))
def test_folds_are_equal_in_patients_and_a_seed_moves_many(seed):
    table = images(40)
    chosen = assign_folds(table, Folds(k=3), seed, CLASSES)
    assert sorted(chosen.value_counts() // 2) == [13, 13, 14]
    assert (assign_folds(table, Folds(k=3), seed + 1, CLASSES) != chosen).mean() > 0.4


def test_a_seed_moves_many_also_where_each_patient_is_a_site():
    table = images(40)
    table["site"] = table["patient"]
    one, two = (assign_folds(table, Folds(k=3), seed, CLASSES) for seed in (0, 1))
    assert (one != two).mean() > 0.4


def test_a_rare_class_the_sites_and_patients_of_many_images_are_spread_over_the_folds():
    table = images(30)
    number = table["patient"].str.removeprefix("p").astype(int)
    table["notes"] = number.lt(27).map({True: "mask_empty:heart", False: ""})
    table["site"] = number.mod(5).lt(2).map({True: "a", False: "b"})
    more = table[number % 3 == 0].assign(image_id=lambda rows: rows["image_id"] + "-more")
    table = pd.concat([table, more, more.assign(image_id=lambda rows: rows["image_id"] + "-still")])
    table["fold"] = assign_folds(table, Folds(k=3), 0, CLASSES)
    assert table[table["notes"] == ""].groupby("fold")["patient"].nunique().tolist() == [1, 1, 1]
    assert table[table["site"] == "a"].groupby("fold")["patient"].nunique().tolist() == [4, 4, 4]
    assert max(table["fold"].value_counts()) - min(table["fold"].value_counts()) <= 8


PATIENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from(CLASSES)), st.integers(1, 4)), min_size=3, max_size=60
)


def table_of(patients):
    """Rows of patients with a site, the classes that their masks show, and a number of images."""
    rows = [
        {
            "image_id": f"p{number}-{image}",
            "image": f"p{number}-{image}.png",
            "patient": f"p{number}",
            "site": site,
            "notes": "; ".join(f"mask_empty:{name}" for name in CLASSES if name not in shown or image),
            "status": "labelled",
            "fold_wanted": "",
        }
        for number, (site, shown, count) in enumerate(patients)
        for image in range(count)
    ]
    return pd.DataFrame(rows)


@settings(max_examples=30, deadline=None)
@given(patients=PATIENTS, k=st.integers(2, 3), seed=st.integers(0, 1000), data=st.data())
def test_any_patients_are_dealt_out_evenly_whatever_the_order_of_the_rows(patients, k, seed, data):
    table, folds = table_of(patients), Folds(k=k)
    table["fold"] = assign_folds(table, folds, seed, CLASSES)
    assert (table.groupby("patient")["fold"].nunique() == 1).all()
    by_patient = table.drop_duplicates("patient")
    by_patient = by_patient.assign(shown=[tuple(sorted(shown)) for _, shown, _ in patients])
    for kind in ([], ["shown", "site"]):
        groups = [by_patient] if not kind else [rows for _, rows in by_patient.groupby(kind)]
        for rows in groups:
            sizes = rows["fold"].value_counts().reindex([str(fold) for fold in range(k)], fill_value=0)
            assert sizes.max() - sizes.min() <= 1
    shuffled = table.loc[data.draw(st.permutations(range(len(table))))].reset_index(drop=True)
    again = assign_folds(shuffled, folds, seed, CLASSES)
    assert dict(zip(shuffled["image_id"], again, strict=True)) == dict(
        zip(table["image_id"], table["fold"], strict=True)
    )
    for model in folds.models:
        first, second = (
            rows.assign(role=roles(rows, folds, model, seed, CLASSES)).set_index("image_id")["role"].sort_index()
            for rows in (table, shuffled.assign(fold=again))
        )
        pd.testing.assert_series_equal(first, second)
        assert {"train", "val", "test"} <= set(first) or len(patients) < 2 * k


@settings(max_examples=40, deadline=None)
@given(patients=PATIENTS, test=st.floats(0.05, 0.95), val=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_any_holdout_has_its_three_parts_at_their_sizes(patients, test, val, seed):
    table, folds = table_of(patients), Folds(scheme="holdout", test_fraction=test, val_fraction=val)
    sizes = assign_folds(table, folds, seed, CLASSES).groupby(table["patient"]).first().value_counts()
    tested = max(1, min(round(len(patients) * test), len(patients) - 2))
    rest = len(patients) - tested
    assert sizes["test"] == tested
    assert sizes["val"] == max(1, min(round(rest * val), rest - 1))
    assert sizes["train"] == rest - sizes["val"]


def test_no_model_tests_a_patient_it_saw():
    table, folds = images(), Folds(k=3, val_fraction=0.2)
    table["fold"] = assign_folds(table, folds, 0, CLASSES)
    tested = []
    for model in folds.models:
        role = roles(table, folds, model, 0, CLASSES)
        assert set(role) == {"train", "val", "test"}
        assert (table.assign(role=role).groupby("patient")["role"].nunique() == 1).all()
        tested.append(role == "test")
    assert (sum(part.astype(int) for part in tested) == 1).all(), "each image is tested by exactly one model"


def test_a_patient_without_masks_has_no_fold_and_an_unlabelled_second_image_follows_its_patient():
    table = images(30)
    table.loc[table["patient"] == "p7", "status"] = "unlabelled"
    table.loc[table["image_id"] == "p8-1", "status"] = "unlabelled"
    table["fold"] = assign_folds(table, Folds(), 0, CLASSES)
    assert set(table.loc[table["patient"] == "p7", "fold"]) == {""}
    assert table.loc[table["patient"] == "p8", "fold"].nunique() == 1
    assert set(roles(table, Folds(), "fold0", 0, CLASSES)[table["patient"] == "p7"]) == {""}


def test_at_least_one_patient_validates_however_small_the_fraction():
    table, folds = images(20, 1), Folds(val_fraction=0.001)
    table["fold"] = assign_folds(table, folds, 0, CLASSES)
    assert (roles(table, folds, "fold1", 0, CLASSES) == "val").sum() == 1


def test_holdout_has_three_parts_of_the_wanted_size():
    table, folds = images(400, 1), Folds(scheme="holdout", test_fraction=0.3, val_fraction=0.2)
    table["fold"] = assign_folds(table, folds, 0, CLASSES)
    assert table["fold"].value_counts().to_dict() == {"test": 120, "val": 56, "train": 224}
    assert (roles(table, folds, "holdout", 0, CLASSES) == table["fold"]).all()


def test_a_column_decides_and_a_patient_in_two_folds_is_refused():
    table, folds = images(3, 2), Folds(k=3, column="part")
    table["fold_wanted"] = [number // 2 for number in range(6)]
    table["fold_wanted"] = table["fold_wanted"].astype(str)
    assert assign_folds(table, folds, 0, CLASSES).tolist() == table["fold_wanted"].tolist()
    table.loc[1, "fold_wanted"] = "2"
    with pytest.raises(InputError, match=r"p0-1\.png is in folds 0 and 2"):
        assign_folds(table, folds, 0, CLASSES)
    table.loc[1, "fold_wanted"] = "three"
    with pytest.raises(ConfigError, match="has 'three' in part"):
        assign_folds(table, folds, 0, CLASSES)


@pytest.mark.parametrize(
    ("patients", "folds", "says"),
    [
        (1, Folds(), r"1 patient with masks: too few to train\. A model needs at least three"),
        (2, Folds(scheme="holdout"), r"2 patients with masks: too few to train"),
        (5, Folds(k=8), r"5 patients with masks cannot fill the 8 folds of folds\.k.*Set folds\.k to 2 or less"),
        (4, Folds(scheme="holdout", column="part"), r"none in the folds val, test of holdout\. .*the column part"),
    ],
)
def test_too_few_patients_is_an_error_that_says_what_to_do(patients, folds, says):
    with pytest.raises(InputError, match=says):
        assign_folds(images(patients, wanted="train"), folds, 0, CLASSES)
