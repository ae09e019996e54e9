"""Whose images train a model and whose validate it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segpipe.config.stages import TrainStage
from segpipe.config.variants import plain_name
from segpipe.dataset.folds import shows
from segpipe.errors import InputError
from segpipe.log import logger
from segpipe.samples.shards import unit_hash


@dataclass(frozen=True)
class Roles:
    """Rows of the dataset table."""

    train: pd.DataFrame
    val: pd.DataFrame

    @property
    def shards(self) -> list[str]:
        """The shards that hold them."""
        return sorted({*self.train["shard"], *self.val["shard"]})


def read_roles(dataset: Path, stage: TrainStage, model: str) -> Roles:
    """The labelled images that train ``model`` and those that choose its best epoch.

    Raises:
        InputError: the table does not know the model, or one of the two is empty.
    """
    rows = pd.read_parquet(dataset)
    labelled = rows[rows["status"] == "labelled"]
    roles = Roles(_of_role(labelled, model, "train"), _of_role(labelled, model, "val"))
    if stage.train.patients:
        roles = Roles(_of_some_patients(roles.train, stage.train.patients, stage.seed, model), roles.val)
    for name in stage.classes:
        _warn_if_absent(name, model, roles)
    return roles


def _of_role(labelled: pd.DataFrame, model: str, role: str) -> pd.DataFrame:
    column = f"role:{plain_name(model)}"  # repeats of a model share its patients
    if column not in labelled:
        known = ", ".join(name.removeprefix("role:") for name in labelled.columns if name.startswith("role:"))
        raise InputError(f"--model {model}: the dataset table knows no such model; it has {known}.")
    chosen = labelled[labelled[column] == role]
    if chosen.empty:
        raise InputError(
            f"{model}: none of the {len(labelled)} labelled images has the role {role!r}. Folds are drawn by patient; "
            "use fewer folds, another seed, a larger folds.val_fraction, or your own folds.column."
        )
    return chosen


def _of_some_patients(rows: pd.DataFrame, most: int, seed: int, model: str) -> pd.DataFrame:
    """Those of at most ``most`` patients; the fewer are always among the more, in every fold and repeat."""
    patients = rows["patient"].unique()
    drawn = sorted(patients, key=lambda patient: (unit_hash(f"{seed}/patients/{patient}"), patient))[:most]
    chosen = rows[rows["patient"].isin(drawn)]
    logger.info(
        "%s: train.patients: %d: trains on %d of %d images, those of %d of %d patients",
        model, most, len(chosen), len(rows), len(drawn), len(patients),
    )  # fmt: skip
    return chosen


def _warn_if_absent(name: str, model: str, roles: Roles) -> None:
    if _absent(name, roles.train):
        logger.warning(
            "%s: class %s occurs in none of the %d training images, so this model learns to find it nowhere. Use fewer "
            "folds, another seed, or your own folds.column.",
            model, name, len(roles.train),
        )  # fmt: skip
    if _absent(name, roles.val):
        logger.warning(
            "%s: class %s occurs in none of the %d validation images. Where the model finds none either its IoU counts "
            "as 1, so val_miou looks better than it is. Use a larger folds.val_fraction or your own folds.column.",
            model, name, len(roles.val),
        )  # fmt: skip


def _absent(name: str, rows: pd.DataFrame) -> bool:
    return not shows(rows, name).any()
