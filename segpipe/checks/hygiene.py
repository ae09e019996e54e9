"""All that is checked about a set, for the report and for `segpipe validate`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segpipe.checks.duplicates import find_duplicates, thumbnails_of
from segpipe.checks.flags import count_flags, image_flags
from segpipe.checks.orientation import orientation_gain
from segpipe.config import Checks


def with_checks(images: pd.DataFrame, checks: Checks, classes: Sequence[str]) -> pd.DataFrame:
    """The set's table with ``flags``, ``duplicate_of``, ``near_duplicate_of`` and ``orientation_gain``.

    ``images`` are the rows of all shards, with status as preprocess left it, in any order. Duplicates that the dataset
    stage found are kept: the search is what costs most, and sees the same here.
    """
    checked = images.reset_index(drop=True)
    checked["orientation_gain"] = _orientation(checked, checks)
    checked["flags"] = image_flags(checked, checks, classes)
    if "duplicate_of" in checked:
        return checked
    found = find_duplicates(checked, checks)
    return checked.assign(duplicate_of=found["duplicate_of"], near_duplicate_of=found["near_duplicate_of"])


def count_findings(table: pd.DataFrame) -> Mapping[str, Any]:
    """Numbers of flagged images and of duplicates, of a table with :func:`with_checks`'s columns."""
    labelled = set(table.loc[~table["status"].isin(["unlabelled", "quarantined"]), "image_id"])
    original = table["duplicate_of"].where(table["duplicate_of"] != "", table["near_duplicate_of"])
    copies = (table["status"] == "unlabelled") & original.isin(labelled)
    return {
        "flagged": int((table["flags"] != "").sum()),
        "flags": count_flags(table["flags"]),
        "duplicates": int((table["duplicate_of"] != "").sum()),
        "near_duplicates": int((table["near_duplicate_of"] != "").sum()),
        "unlabelled_copies_of_labelled": int(copies.sum()),
    }


def _orientation(images: pd.DataFrame, checks: Checks) -> pd.Series:
    known = images[images["thumbnail"].notna()].sort_values("image_id")
    if known.empty:
        return pd.Series(np.nan, index=images.index)
    gains = orientation_gain(thumbnails_of(known), checks.orientation)
    return pd.Series(gains, index=known.index).reindex(images.index)
