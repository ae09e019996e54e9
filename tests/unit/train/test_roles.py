import pandas as pd
import pytest

from segpipe.errors import InputError
from segpipe.train.roles import read_roles
from tests.unit.prepared import stage


@pytest.fixture
def table(prepared, tmp_path):
    def write(change):
        rows = pd.read_parquet(prepared / "dataset.parquet")
        change(rows)
        rows.to_parquet(tmp_path / "dataset.parquet")
        return tmp_path / "dataset.parquet"

    return write


def test_a_class_absent_from_a_role_is_named_with_the_model(table, caplog):
    def empty(rows):
        rows.loc[rows["role:fold0"] == "train", "notes"] = "mask_empty:heart"
        rows.loc[rows["role:fold0"] == "val", "notes"] = "spacing_missing; mask_empty:lung"

    read_roles(table(empty), stage("train"), "fold0")
    assert "fold0: class heart occurs in none of the 8 training images" in caplog.text
    assert "fold0: class lung occurs in none of the 1 validation images" in caplog.text
    assert len(caplog.records) == 2


def test_fewer_patients_are_among_the_more_and_are_the_same_for_repeats(prepared):
    def patients(most, model="fold0"):
        return set(read_roles(prepared / "dataset.parquet", stage("train", patients=most), model).train["patient"])

    assert len(patients(2)) == 2
    assert patients(2) < patients(5) < patients(0) == patients(99)
    assert patients(5) == patients(5, "fold0-r3")


def test_a_model_that_the_table_does_not_know_is_an_error(prepared):
    with pytest.raises(InputError, match="--model fold7: the dataset table knows no such model; it has fold0, fold1"):
        read_roles(prepared / "dataset.parquet", stage("train"), "fold7")
