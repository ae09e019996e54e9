"""Flags: what makes an image worth a look, from its row and from the set. Nothing is refused because of a flag."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Checks
from segpipe.dataset.duplicates import find_duplicates, thumbnails_of
from segpipe.preprocess.quality import THUMBNAIL, share_column
from segpipe.samples.shards import carried_column

IMPORTED = carried_column("mask_notes")
FEWEST_MASKS = 10  # masks; fewer have no usual area
LEAST_SPREAD = 0.05  # of the logarithm of areas: about 5 %, so that sets of equal masks have no outliers
FEWEST_TO_TURN = 10  # images; fewer have no usual orientation
ROUNDS = 3  # the mean is made again without those that did not fit it
LEAST_FIT = 0.3  # correlation; a picture that fits in no orientation, such as a negative, is not a turned one
LEAST_USUAL = 0.5  # the median of the best correlations; below, the images have no common look and no orientation
CHUNK = 1024


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


def _orientation(images: pd.DataFrame, checks: Checks) -> pd.Series:
    known = images[images["thumbnail"].notna()].sort_values("image_id")
    if known.empty:
        return pd.Series(np.nan, index=images.index)
    gains = orientation_gain(thumbnails_of(known), checks.orientation)
    return pd.Series(gains, index=known.index).reindex(images.index)


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


@dataclass(frozen=True)
class Rule:
    """A flag is raised where ``value`` lies beyond ``limit``: above it, or below it if ``below``.

    ``value`` takes the table and, for a flag of one class, its name; a missing value raises no flag.
    """

    value: Callable[[pd.DataFrame, str], pd.Series]
    limit: Callable[[Checks], float]
    below: bool = False
    of_class: bool = False

    def severity(self, images: pd.DataFrame, name: str, checks: Checks) -> pd.Series:
        """How far beyond the limit each value lies; the flag is raised where this is above 0."""
        beyond = self.value(images, name) - self.limit(checks)
        return -beyond if self.below else beyond


def _number(images: pd.DataFrame, name: str) -> pd.Series:
    found = images[name] if name in images else pd.Series(np.nan, index=images.index)
    return pd.to_numeric(found).astype("float64")


def _larger(first: pd.Series, second: pd.Series) -> pd.Series:
    return pd.concat([first, second], axis=1).max(axis=1)


def _is_yes(images: pd.DataFrame, name: str) -> pd.Series:
    return (images[name] == "YES").astype("float64") if name in images else _number(images, name)


def _aspect(images: pd.DataFrame) -> pd.Series:
    ratio = _number(images, "rows") / _number(images, "columns")
    return _larger(ratio, 1 / ratio)


def _relative_size(images: pd.DataFrame) -> pd.Series:
    return _larger(_number(images, "rows"), _number(images, "columns")) / _number(images, "size")


def _outside(images: pd.DataFrame) -> pd.Series:
    """The larger share of a mask beyond the picture (a note of its reader) or in the picture's flat borders.

    ``segpipe import-masks`` cuts masks before they are read, and notes that in a column of its sheet.
    """
    texts = images["notes"].astype("str")
    if IMPORTED in images:
        texts = texts + "; " + images[IMPORTED].astype("str")
    noted = texts.str.extractall(r"mask_outside:[^:;]*:([0-9.]+)")[0].astype("float64")
    return _larger(noted.groupby(level=0).max().reindex(images.index), _number(images, "mask_outside_field"))


def mask_area_z(images: pd.DataFrame, name: str) -> pd.Series:
    """Robust z score of a class's share of the picture among the set's, on a logarithmic scale; NaN where it is empty.

    Median and 1.4826 x MAD (Iglewicz and Hoaglin 1993). Areas vary by factors, so their logarithms are compared.
    """
    return robust_z(_number(images, share_column(name)))


def robust_z(shares: pd.Series) -> pd.Series:
    """The same for shares of the picture, whatever they are of; NaN throughout where there are few."""
    logarithm = pd.Series(np.log(shares.where(shares > 0)), index=shares.index)
    middle = float(logarithm.median())
    spread = max(1.4826 * float((logarithm - middle).abs().median()), LEAST_SPREAD)
    score: pd.Series = (logarithm - middle) / spread
    return score if logarithm.count() >= FEWEST_MASKS else score * np.nan


RULES: Mapping[str, Rule] = {
    "polarity": Rule(lambda images, _: _number(images, "polarity_score"), lambda checks: -checks.polarity, below=True),
    "orientation": Rule(lambda images, _: _number(images, "orientation_gain"), lambda checks: checks.orientation),
    "flat": Rule(lambda images, _: _number(images, "flat_share"), lambda checks: checks.flat),
    "few_grey_levels": Rule(lambda images, _: _number(images, "grey_levels"), lambda checks: checks.grey_levels, True),
    "clipped": Rule(
        lambda images, _: _larger(_number(images, "black_share"), _number(images, "white_share")),
        lambda checks: checks.clipped,
    ),
    "aspect_ratio": Rule(lambda images, _: _aspect(images), lambda checks: checks.aspect_ratio),
    "tiny": Rule(lambda images, _: _relative_size(images), lambda checks: checks.tiny, below=True),
    "burned_in_annotation": Rule(lambda images, _: _is_yes(images, "burned_in_annotation"), lambda _: 0.5),
    "recognizable_visual_features": Rule(
        lambda images, _: _is_yes(images, "recognizable_visual_features"), lambda _: 0.5
    ),
    "mask_empty": Rule(
        lambda images, name: _number(images, share_column(name)), lambda _: np.nextafter(0, 1), True, of_class=True
    ),
    "mask_full": Rule(
        lambda images, name: _number(images, share_column(name)), lambda checks: checks.mask_full, of_class=True
    ),
    "mask_outside": Rule(lambda images, _: _outside(images), lambda checks: checks.mask_outside),
    "mask_area": Rule(
        lambda images, name: mask_area_z(images, name).abs(), lambda checks: checks.mask_area, of_class=True
    ),
}
"""In the order of a cell; a flag of one class reads ``mask_empty:<class>``."""


def image_flags(images: pd.DataFrame, checks: Checks, classes: Sequence[str]) -> pd.Series:
    """The flags of every image as text, separated by semicolons; blank where there is none.

    ``images`` holds the store's columns and ``orientation_gain``; what is missing in a row raises no flag.
    """
    columns = [
        np.where(rule.severity(images, cls, checks).to_numpy() > 0, flag, "") for flag, rule, cls in _all_flags(classes)
    ]
    texts = ["; ".join(filter(None, row)) for row in zip(*columns, strict=True)]
    return pd.Series(texts, index=images.index, dtype="str")


def worst(images: pd.DataFrame, flag: str, checks: Checks) -> pd.Series:
    """The images that have a flag, worst first: image_id -> the value that raised it."""
    name, _, cls = flag.partition(":")
    severity = RULES[name].severity(images, cls, checks)
    found = pd.DataFrame({"id": images["image_id"], "value": RULES[name].value(images, cls), "severity": severity})
    found = found[severity > 0].sort_values(["severity", "id"], ascending=[False, True])
    return found.set_index("id")["value"]


def count_flags(flags: pd.Series) -> dict[str, int]:
    """How many images have each flag, in the order of :data:`RULES`; classes of a mask flag apart."""
    names = flags[flags != ""].str.split("; ").explode()
    order = list(RULES)
    counts = names.value_counts()
    ranked = sorted((order.index(str(flag).partition(":")[0]), str(flag)) for flag in counts.index)
    return {flag: int(counts[flag]) for _, flag in ranked}


def _all_flags(classes: Sequence[str]) -> Iterator[tuple[str, Rule, str]]:
    for name, rule in RULES.items():
        if rule.of_class:
            yield from ((f"{name}:{cls}", rule, cls) for cls in classes)
        else:
            yield name, rule, ""


def orientation_gain(thumbnails: np.ndarray, gain: float) -> np.ndarray:
    """How much better each thumbnail correlates with the others' mean in another of the 8 orientations.

    ``thumbnails`` is uint8 (n, 32, 32), in a fixed order. The result is float64 (n,), negative where the image lies as
    most do, at most 0 where it fits in no orientation. Those above ``gain`` are left out of the mean in the
    next of three rounds. The majority decides what is upright. NaN for few images, and for sets of unlike ones.
    """
    count = len(thumbnails)
    if count < FEWEST_TO_TURN:
        return np.full(count, np.nan)
    usual, gains = np.ones(count, bool), np.zeros(count)
    for _ in range(ROUNDS):
        gains, fits = _gains(thumbnails, usual)
        usual = gains < gain
        if usual.sum() < FEWEST_TO_TURN or np.median(fits) < LEAST_USUAL:
            return np.full(count, np.nan)
    rounded: np.ndarray = gains.round(4)
    return rounded


def turned(picture: np.ndarray) -> list[np.ndarray]:
    """The last two axes in the 8 orientations of a square, the first as it is."""
    mirrored = np.swapaxes(picture, -1, -2)
    return [np.rot90(side, quarter, axes=(-2, -1)) for side in (picture, mirrored) for quarter in range(4)]


def _gains(thumbnails: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation in another orientation, less that in its own, and the better of the two.

    The image itself is left out of the mean. einsum without BLAS: sums in a fixed order, whatever the number of
    threads.
    """
    total = np.zeros((THUMBNAIL, THUMBNAIL))
    for start in range(0, len(thumbnails), CHUNK):
        total += _unit(thumbnails[start : start + CHUNK])[usual[start : start + CHUNK]].sum(axis=0)
    gains, fits_best = np.empty(len(thumbnails)), np.empty(len(thumbnails))
    for start in range(0, len(thumbnails), CHUNK):
        part = slice(start, start + CHUNK)
        units = _unit(thumbnails[part])
        others = total - units * usual[part, None, None]
        others /= np.maximum(np.linalg.norm(others, axis=(1, 2), keepdims=True), 1e-9)
        fits = np.stack([np.einsum("nij,nij->n", side, others) for side in turned(units)])
        best = fits[1:].max(axis=0)
        gains[part] = np.where(best >= LEAST_FIT, best - fits[0], np.minimum(best - fits[0], 0))
        fits_best[part] = np.maximum(best, fits[0])
    return gains, fits_best


def _unit(thumbnails: np.ndarray) -> np.ndarray:
    """Mean 0 and length 1, float64; zeros for a flat one."""
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    unit: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-9)
    return unit
