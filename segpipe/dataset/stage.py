"""The dataset stage: all shards' tables become one, with folds and duplicates decided."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.config.stages import DatasetStage
from segpipe.dataset.duplicates import find_duplicates
from segpipe.dataset.folds import assign_folds, roles, shows
from segpipe.errors import InputError
from segpipe.files.atomic import canonical_json, write_text
from segpipe.log import logger
from segpipe.preprocess.store import write_table

COLUMNS = [
    *("image_id", "image", "patient", "site", "fold_wanted", "status", "notes", "picture", "content"),
    *("perceptual_hash", "thumbnail"),
]
ROLES = {"train": "train on", "val": "choose the epoch by", "test": "be tested on"}
CONSEQUENCES = {
    "train": "It will find the class nowhere.",
    "val": "Its best epoch is chosen without regard to the class.",
    "test": "Its scores say nothing of the class.",
}


def gather(stage: DatasetStage, tables: Sequence[Path], output: Path) -> None:
    """Write ``dataset.parquet`` (one row per image, sorted by id) and ``dataset.json`` (its fingerprint).

    A column ``role:<model>`` says what each image is to a model (:func:`segpipe.dataset.folds.roles`). The result
    depends on the images only, not on how they are sharded: ``shard`` and ``row`` say where a picture lies,
    and are left out of the fingerprint.

    Raises:
        InputError: nothing to train on, an empty fold, or the same picture labelled in two folds.
    """
    frames = []
    for path in tables:
        frame = pd.read_parquet(path, columns=COLUMNS)
        frames.append(frame.assign(shard=path.parent.name, row=range(len(frame))))
    images = assemble(pd.concat(frames, ignore_index=True), stage)
    check_duplicates(images, stage.duplicates)
    facts = describe(images, stage)
    write_table(output / "dataset.parquet", images.drop(columns=["site", "thumbnail", "near_across"]))
    write_text(output / "dataset.json", canonical_json(facts))
    logger.info("dataset: %s", ", ".join(f"{key} {value}" for key, value in facts.items() if isinstance(value, int)))
    by_fold = zip(facts["patients_by_fold"].items(), facts["labelled_by_fold"].values(), strict=True)
    logger.info("folds: %s", "; ".join(f"{fold}: {p} patients, {i} labelled images" for (fold, p), i in by_fold))


def assemble(rows: pd.DataFrame, stage: DatasetStage) -> pd.DataFrame:
    """The shards' rows, sorted by id, with folds, roles and duplicates.

    Raises:
        InputError: nothing to train on, or an empty fold.
    """
    images = rows.sort_values("image_id", ignore_index=True)
    _require_labels(images)
    images["fold"] = assign_folds(images, stage.folds, stage.seed, stage.classes)
    _require_one_fold(images)
    for model in stage.folds.models:
        images[f"role:{model}"] = roles(images, stage.folds, model, stage.seed, stage.classes)
    return images.assign(**find_duplicates(images, stage.checks))


def describe(images: pd.DataFrame, stage: DatasetStage) -> dict[str, Any]:
    """Counts and a fingerprint of the labelled pictures and their folds."""
    labelled = images[images["status"] == "labelled"]
    empty = {name: int((~shows(labelled, name)).sum()) for name in stage.classes}
    for name, count in empty.items():
        if count == len(labelled):
            logger.warning(
                "class %s occurs in none of the %d labelled images; nothing can be learned about it. "
                "Check its files and pixel values (classes.%s).",
                name,
                count,
                name,
            )
    return {
        "images": len(images),
        "labelled": len(labelled),
        "quarantined": int((images["status"] == "quarantined").sum()),
        "patients": int(images["patient"].nunique()),
        "duplicates": int((images["duplicate_of"] != "").sum()),
        "near_duplicates": int((images["near_duplicate_of"] != "").sum()),
        "patients_by_fold": _counts(labelled.drop_duplicates("patient")["fold"]),
        "labelled_by_fold": _counts(labelled["fold"]),
        "empty_masks": empty,
        "absent_classes": absent_classes(labelled, stage),
        "fingerprint": content_fingerprint(labelled),
    }


def _counts(folds: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in folds.value_counts().sort_index().items()}


def content_fingerprint(labelled: pd.DataFrame) -> str:
    """A hash over ids, pictures, masks and folds of the labelled images."""
    lines = labelled["image_id"] + " " + labelled["content"] + " " + labelled["fold"]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def absent_classes(labelled: pd.DataFrame, stage: DatasetStage) -> dict[str, dict[str, list[str]]]:
    """For each model and role the classes that no image has there; a class that is nowhere is another matter.

    Such a model never learns the class, or is not tested on it: an image without it, predicted without it, has
    an IoU of 1.
    """
    there = {name: shows(labelled, name) for name in stage.classes}
    found: dict[str, dict[str, list[str]]] = {}
    for model in stage.folds.models:
        for role in ("train", "val", "test"):
            rows = labelled[f"role:{model}"] == role
            absent = [name for name, has in there.items() if has.any() and not (has & rows).any()]
            if absent:
                found.setdefault(model, {})[role] = absent
                logger.warning(
                    "%s: of its %d images to %s none shows %s. %s Use fewer folds, or your own "
                    "folds.column, which spreads the images that do.",
                    model, rows.sum(), ROLES[role], ", ".join(absent), CONSEQUENCES[role],
                )  # fmt: skip
    return found


def _require_labels(images: pd.DataFrame) -> None:
    if not (images["status"] == "labelled").any():
        bad = images[images["status"] == "quarantined"]
        raise InputError(
            f"None of the {len(images)} images has a usable mask ({len(bad)} are quarantined), so there is nothing "
            "to train on. `segpipe validate CONFIG` and the preprocess logs give the reasons; to apply a trained "
            "model, give model.weights."
        )


def _require_one_fold(images: pd.DataFrame) -> None:
    """Folds are drawn by patient, so this cannot fail; if it ever does, every score would be wrong."""
    folds = images[images["fold"] != ""].groupby("patient")["fold"].nunique()
    if (folds > 1).any():
        raise RuntimeError(f"{int((folds > 1).sum())} patients are in more than one fold")


def check_duplicates(images: pd.DataFrame, policy: str) -> None:
    """Refuse, or warn of, one picture labelled in two folds, as it is or re-encoded.

    Raises:
        InputError: names both files of the first pair of either kind.
    """
    problems = [problem for problem in (_exact_across(images), _near_across(images)) if problem]
    if problems and policy == "error":
        raise InputError("\n".join([*problems, "`segpipe validate CONFIG --output rows.csv` lists all of them."]))
    for problem in problems:
        logger.warning(problem)


def _exact_across(images: pd.DataFrame) -> str:
    labelled = images[images["status"] == "labelled"]
    folds = labelled.groupby("picture")["fold"].nunique()
    shared = labelled[labelled["picture"].isin(folds[folds > 1].index)]
    if shared.empty:
        return ""
    copies = shared[shared["picture"] == shared["picture"].iloc[0]].drop_duplicates("fold")["image"].tolist()
    return (
        f"Pictures labelled in more than one fold: {shared['picture'].nunique()}. A model is tested on what it "
        f"was trained on; the first: {' and '.join(copies[:2])} show the same. Remove one, give both the same "
        "patient, or accept it with data.duplicates: warn."
    )


def _near_across(images: pd.DataFrame) -> str:
    shared = images[images["near_across"] != ""]
    if shared.empty:
        return ""
    names = images.set_index("image_id")["image"]
    first = shared.iloc[0]
    return (
        f"Near duplicates of pictures labelled in another fold: {len(shared)}. A model is tested on "
        f"almost what it was trained on; the first: {names[first['near_across']]} and {first['image']}. Look at both: "
        "if they show the same radiograph, remove one or give both the same patient; if not, lower "
        "checks.near_duplicates. data.duplicates: warn accepts them."
    )
