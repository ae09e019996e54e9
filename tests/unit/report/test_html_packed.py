"""What a browser unpacks is what was packed, and nothing in it can end the script that carries it."""

import base64
import json
import zlib

import numpy as np
import pandas as pd
import pytest

from segpipe.report.page.packed import MISSING, as_numbers, pack_column, pack_table, script_json


def unpacked(packed):
    data = zlib.decompress(base64.b64decode(packed.data), -15)
    match packed.kind:
        case "number":
            whole = np.frombuffer(data, np.uint8).reshape(4, -1).T.copy().view("<i4")[:, 0]
            return [None if value == MISSING else value / 10**packed.decimals for value in whole.tolist()]
        case "codes":
            length = int.from_bytes(data[:4], "little")
            known = json.loads(data[4 : 4 + length])
            codes = np.frombuffer(data[4 + length :], np.uint8).reshape(2, -1).T.copy().view("<u2")[:, 0]
            return [known[code] for code in codes]
        case _:
            return json.loads(data)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pd.Series([1, None, -70000], dtype="Int64"), "number", [1, None, -70000]),
        (pd.Series([0.123456789, np.nan, 1.0]), "number", [0.1235, None, 1.0]),
        (pd.Series([0.0001234567, 0.0]), "number", [0.000123, 0.0]),
        (pd.Series([4095.123456, 0.5]), "number", [4095.1, 0.5]),
        (pd.Series([np.nan, np.nan]), "number", [None, None]),
        (pd.Series(["63", "", "7.5"]), "number", [63.0, None, 7.5]),
        (pd.Series(["007", "8"]), "codes", ["007", "8"]),
        (pd.Series(["", ""]), "codes", ["", ""]),
        (pd.Series([True, None, False], dtype="boolean"), "codes", ["true", "", "false"]),
        (pd.Series(["肺", "a", "肺"]), "codes", ["肺", "a", "肺"]),
        (pd.Series([f"text {number}" for number in range(40)]), "text", [f"text {number}" for number in range(40)]),
        (pd.Series([3e9, 1.0]), "codes", ["3000000000.0", "1.0"]),
    ],
)
def test_a_column_comes_back(values, kind, expected):
    packed = pack_column("x", values)
    assert packed.kind == kind
    assert unpacked(packed) == expected


def test_scores_have_the_digits_of_report_csv():
    assert unpacked(pack_column("iou_lung", pd.Series([0.922504321, np.nan]))) == [0.922504, None]


def test_names_are_no_numbers_even_if_they_look_like_some():
    assert pack_column("image_id", pd.Series(["1", "2"])).kind == "codes"
    assert as_numbers("patient", pd.Series(["1", "2"])) is None


def test_what_is_too_large_leaves_counts_of_pixels_first_and_the_name_never():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": [f"i{number}" for number in range(500)]})
    table["tn_lung"] = rng.integers(0, 2**30, 500)
    table["iou_lung"] = rng.random(500)
    whole, left_out = pack_table(table, 10**6)
    assert left_out == []
    total = sum(len(column.data) for column in whole)
    assert pack_table(table, total - 1)[1] == ["tn_lung"]
    kept, left_out = pack_table(table, 10)
    assert [column.name for column in kept] == ["image_id"]
    assert left_out == ["iou_lung", "tn_lung"]


def test_no_text_ends_the_script_that_carries_it():
    value = {"a": "</script><!-- & \u2028"}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
