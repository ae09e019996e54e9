"""Folds: which model may train on, choose by, and be tested on which patient.

A patient's fold is a hash of the patient's key, so it does not move when the data grow, and no patient can
be in two. ``kfold`` names a patient's test fold ("0".."k-1"); ``holdout`` says train, val or test.
"""

import pandas as pd

from segpipe.config import Folds
from segpipe.errors import ConfigError, InputError
from segpipe.samples.shards import unit_hash


def assign_folds(images: pd.DataFrame, folds: Folds, seed: int) -> pd.Series:
    """The fold of every image as text; blank for patients without a usable mask, who belong to no fold.

    Raises:
        InputError: a fold without patients, or a patient whose images name two folds.
    """
    labelled = images.loc[images["status"] == "labelled"]
    patients = labelled["patient"].unique()
    if folds.column:
        chosen = _from_column(labelled, folds)
    elif folds.scheme == "kfold":
        chosen = {patient: str(int(_draw(seed, "fold", patient) * folds.k)) for patient in patients}
    else:
        chosen = {patient: _holdout(patient, folds, seed) for patient in patients}
    _check_filled(chosen, folds)
    return images["patient"].map(chosen).fillna("")


def roles(images: pd.DataFrame, folds: Folds, model: str, seed: int) -> pd.Series:
    """What each image's patient is to a model: train, val, test, or blank where the patient has no fold.

    Within kfold the validation patients are drawn from the other folds, at least one of them. A model may
    predict the images of its test patients and of patients without a fold: it has seen neither.
    """
    if folds.scheme == "holdout":
        return images["fold"]
    tested, has_fold = images["fold"] == model.removeprefix("fold"), images["fold"] != ""
    validating = images["patient"].isin(_validating(images[has_fold & ~tested], folds, model, seed))
    role = validating.map({True: "val", False: "train"}).where(~tested, "test")
    return role.where(has_fold, "")


def _draw(seed: int, purpose: str, patient: str) -> float:
    return unit_hash(f"{seed}/{purpose}/{patient}")


def _holdout(patient: str, folds: Folds, seed: int) -> str:
    if _draw(seed, "fold", patient) < folds.test_fraction:
        return "test"
    return "val" if _draw(seed, "val", patient) < folds.val_fraction else "train"


def _validating(rest: pd.DataFrame, folds: Folds, model: str, seed: int) -> list[str]:
    drawn = sorted((_draw(seed, f"val/{model}", patient), patient) for patient in rest["patient"].unique())
    chosen = [patient for number, patient in drawn if number < folds.val_fraction]
    return chosen or [patient for _, patient in drawn[:1]]


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
    own = f"the column {folds.column}" if folds.column else "folds.column"
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
        drawn = "" if folds.column else " Folds are drawn patient by patient, so small sets leave some empty by chance:"
        raise InputError(
            f"{found}, but none in the fold{'' if len(empty) == 1 else 's'} {', '.join(empty)} of {folds.scheme}."
            f"{drawn} use fewer folds (folds.k), another seed, or name the folds yourself in {own}."
        )
