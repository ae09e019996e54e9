"""Folds: which model may train on, choose by, and be tested on which patient.

Patients are dealt out to the folds like cards, so that their numbers differ by one at most. Before that they are put in
an order in which neighbours are alike: those whose masks show the same classes (the rarest class first), then those of
one site, then those with as many images. Sites, and patients that are equal in all this, come in an order that the seed
draws. So every fold gets its share of each kind. The order depends on the patients and the seed alone, neither on rows
nor on shards, and no patient is in two folds.

``kfold`` names a patient's test fold ("0".."k-1"); ``holdout`` says train, val or test.
"""

import re
from collections.abc import Sequence

import pandas as pd

from segpipe.config import Folds
from segpipe.errors import ConfigError, InputError
from segpipe.samples.shards import unit_hash


def assign_folds(images: pd.DataFrame, folds: Folds, seed: int, classes: Sequence[str]) -> pd.Series:
    """The fold of every image as text; blank for patients without a usable mask, who belong to no fold.

    Raises:
        InputError: a fold without patients, or a patient whose images name two folds.
    """
    labelled = images.loc[images["status"] == "labelled"]
    if folds.column:
        chosen = _from_column(labelled, folds)
    else:
        ordered = alike_side_by_side(labelled, classes, f"{seed}/fold")
        if folds.scheme == "kfold":
            chosen = {patient: str(number % folds.k) for number, patient in enumerate(ordered)}
        else:
            chosen = _holdout(labelled, ordered, folds, seed, classes)
    _check_filled(chosen, folds)
    return images["patient"].map(chosen).fillna("")


def roles(images: pd.DataFrame, folds: Folds, model: str, seed: int, classes: Sequence[str]) -> pd.Series:
    """What each image's patient is to a model: train, val, test, or blank where the patient has no fold.

    Within kfold the validation patients are spread over the other folds' patients as folds are, at least one of them. A
    model may predict the images of its test patients and of patients without a fold: it has seen neither.
    """
    if folds.scheme == "holdout":
        return images["fold"]
    tested, has_fold = images["fold"] == model.removeprefix("fold"), images["fold"] != ""
    rest = images[has_fold & ~tested & (images["status"] == "labelled")]
    ordered = alike_side_by_side(rest, classes, f"{seed}/val/{model}")
    validating = images["patient"].isin(_share_of(ordered, folds.val_fraction))
    role = validating.map({True: "val", False: "train"}).where(~tested, "test")
    return role.where(has_fold, "")


def alike_side_by_side(labelled: pd.DataFrame, classes: Sequence[str], draw: str) -> list[str]:
    """The patients of labelled images, in the order in which they are dealt out.

    ``labelled`` has patient, site and notes of each image; ``draw`` is what chance hangs on.
    """
    shown = pd.DataFrame({number: shows(labelled, name) for number, name in enumerate(classes)}, index=labelled.index)
    sites = labelled.groupby("patient")["site"].min().map(lambda site: unit_hash(f"{draw}/site/{site}"))  # at random
    patients = shown.groupby(labelled["patient"]).any().assign(site=sites)
    counts = patients[list(range(len(classes)))].sum().tolist()
    rarest_first = sorted(range(len(classes)), key=lambda number: (counts[number], classes[number]))
    kind = patients.groupby([*rarest_first, "site"]).ngroup()
    order = kind.to_frame("kind").assign(
        # Up and down in turn, or the first fold would get the patients of few images of every kind.
        images=labelled["patient"].value_counts() * (1 - 2 * (kind % 2)),
        drawn=[unit_hash(f"{draw}/{patient}") for patient in kind.index],
    )
    return list(order.sort_index().sort_values(["kind", "images", "drawn"]).index)


def shows(labelled: pd.DataFrame, name: str) -> pd.Series:
    """Whether each image's mask has a pixel of the class."""
    return ~labelled["notes"].str.contains(f"mask_empty:{re.escape(name)}(?:;|$)")


def _holdout(
    labelled: pd.DataFrame, ordered: list[str], folds: Folds, seed: int, classes: Sequence[str]
) -> dict[str, str]:
    test = _share_of(ordered, folds.test_fraction, left=2)
    rest = labelled[~labelled["patient"].isin(test)]
    val = _share_of(alike_side_by_side(rest, classes, f"{seed}/val"), folds.val_fraction)
    return {patient: "test" if patient in test else "val" if patient in val else "train" for patient in ordered}


def _share_of(ordered: list[str], fraction: float, left: int = 1) -> set[str]:
    """That share of them, evenly spread over their order: at least one, and where possible not the last ``left``."""
    count = max(1, min(round(len(ordered) * fraction), len(ordered) - left))
    return {ordered[int((number + 0.5) * len(ordered) / count)] for number in range(count)} if ordered else set()


def _from_column(labelled: pd.DataFrame, folds: Folds) -> dict[str, str]:
    allowed = {str(i) for i in range(folds.k)} if folds.scheme == "kfold" else {"train", "val", "test"}
    chosen: dict[str, str] = {}
    for patient, fold, image in zip(labelled["patient"], labelled["fold_wanted"], labelled["image"], strict=True):
        if fold not in allowed:
            raise ConfigError(
                f"folds.column: {image} has {fold!r} in {folds.column}; expected one of {', '.join(sorted(allowed))}."
            )
        if chosen.setdefault(patient, fold) != fold:
            raise InputError(
                f"folds.column: the patient of {image} is in folds {chosen[patient]} and {fold}. A model would be "
                "tested on a patient it was trained on; give all images of a patient the same fold."
            )
    return chosen


def _check_filled(chosen: dict[str, str], folds: Folds) -> None:
    wanted = [str(i) for i in range(folds.k)] if folds.scheme == "kfold" else ["train", "val", "test"]
    filled = set(chosen.values())
    empty = [fold for fold in wanted if fold not in filled]
    found = f"{len(chosen)} patient{'' if len(chosen) == 1 else 's'} with masks"
    if len(chosen) < 3:
        raise InputError(
            f"{found}: too few to train. A model needs at least three, one each to train, validate and test, since no "
            "patient may be in two. If these images are of more patients, name them: by {patient} in the pattern or a "
            "column patient in the sheet."
        )
    if folds.scheme == "kfold" and len(chosen) < folds.k:
        raise InputError(
            f"{found} cannot fill the {folds.k} folds of folds.k: no patient may be in two. Set folds.k to "
            f"{max(2, len(chosen) // 2)} or less, or add patients."
        )
    if empty:
        raise InputError(
            f"{found}, but none in the fold{'' if len(empty) == 1 else 's'} {', '.join(empty)} of {folds.scheme}. Use "
            f"fewer folds (folds.k), or name other folds in the column {folds.column}."
        )
