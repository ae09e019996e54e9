"""The whole set: flags and duplicates that do not depend on the order of the rows."""

import numpy as np
import pandas as pd

from segpipe.config import Checks
from segpipe.dataset.flags import count_findings, with_checks
from segpipe.preprocess.quality import perceptual_hash
from tests.unit.dataset.test_duplicates import phantom, small
from tests.unit.dataset.test_flags import GOOD
from tests.unit.dataset.test_orientation import turned


def row(name, thumbnail, **changes):
    prints = {"perceptual_hash": perceptual_hash(thumbnail), "thumbnail": thumbnail.tobytes()}
    return {**GOOD, "image_id": name, "picture": f"picture of {name}", **prints, **changes}


def images():
    rows = [row(f"i{number:02d}", small(phantom(number))) for number in range(11)]
    rows.append(row("a_copy", small(phantom(3)), picture="picture of i03", status="unlabelled"))
    rows.append(row("b_near", small((phantom(5) * 0.95).astype(np.uint8)), status="unlabelled"))
    rows.append(row("c_turned", np.ascontiguousarray(turned(small(phantom(12)))[2])))
    blank = dict.fromkeys(rows[0]) | {"image_id": "d_broken", "status": "quarantined"}
    return pd.DataFrame([*rows, blank])


def test_what_is_found_and_counted():
    table = with_checks(images(), Checks(), ["lung", "heart"]).set_index("image_id")
    assert table.loc["c_turned", "flags"] == "orientation"
    assert table.loc["a_copy", "duplicate_of"] == "i03"
    assert table.loc["b_near", "near_duplicate_of"] == "i05"
    assert (table.drop(index="b_near")["near_duplicate_of"] == "").all()
    assert count_findings(table.reset_index()) == {
        "flagged": 1,
        "flags": {"orientation": 1},
        "duplicates": 1,
        "near_duplicates": 1,
        "unlabelled_copies_of_labelled": 2,
    }


def test_the_order_of_the_rows_does_not_matter():
    rows = images()
    first, second = (
        with_checks(some, Checks(), ["lung", "heart"]).sort_values("image_id", ignore_index=True)
        for some in (rows, rows.sample(frac=1, random_state=1))
    )
    pd.testing.assert_frame_equal(first, second)


def test_a_set_of_quarantined_images_has_no_findings():
    nothing = images().query("image_id == 'd_broken'")
    table = with_checks(nothing, Checks(), ["lung", "heart"])
    assert table[["flags", "duplicate_of", "near_duplicate_of"]].to_numpy().tolist() == [["", "", ""]]
