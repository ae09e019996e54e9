"""Exact and near duplicates in the set's table."""

import numpy as np
import pandas as pd

from segpipe.checks.near import find_near, hash_words
from segpipe.config import Checks
from segpipe.preprocess.quality import THUMBNAIL


def find_duplicates(images: pd.DataFrame, checks: Checks) -> pd.DataFrame:
    """For each image the ids of its originals: ``duplicate_of``, ``near_duplicate_of``, ``near_across``.

    ``images`` holds image_id, status, ``picture`` (hash of the stored picture, so that a copy in another format
    counts), the fingerprints and, if folds are decided, ``fold``. The original is the first labelled image with
    that picture, else the first. Near duplicates are looked for among different pictures; ``near_across`` is one that
    is labelled in another fold. All are blank where there is none. The order of the rows does not matter.
    """
    ordered = images.assign(_later=images["status"] != "labelled").sort_values(["_later", "image_id"])
    known = ordered[ordered["picture"].notna()]
    first = known.groupby("picture", sort=False)["image_id"].transform("first")
    found = pd.DataFrame(
        {"duplicate_of": first.where(first != known["image_id"], ""), "near_duplicate_of": "", "near_across": ""}
    )
    originals = known[first == known["image_id"]]
    if checks.near_duplicates and len(originals) > 1:
        near = find_near(
            hash_words(originals["perceptual_hash"].tolist()),
            thumbnails_of(originals),
            checks.near_duplicates,
            checks.near_duplicate_fit,
            _groups(originals),
        )
        ids = np.append(originals["image_id"].to_numpy(object), "")  # index -1: none
        found.loc[originals.index, "near_duplicate_of"] = ids[near.partner]
        found.loc[originals.index, "near_across"] = ids[near.across]
    return found.reindex(images.index).fillna("")


def thumbnails_of(images: pd.DataFrame) -> np.ndarray:
    """The thumbnails of rows that all have one, uint8 (n, 32, 32)."""
    return np.frombuffer(b"".join(images["thumbnail"]), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def _groups(images: pd.DataFrame) -> np.ndarray:
    """Folds of labelled images as numbers, -1 for the others."""
    if "fold" not in images:
        return np.full(len(images), -1)
    folds = images["fold"].where(images["status"] == "labelled", "")
    numbers: np.ndarray = pd.factorize(folds.where(folds != "", None))[0]
    return numbers
