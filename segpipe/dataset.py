"""The dataset stage: all shards' tables become one, with folds and duplicates decided."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.config import canonical_json
from segpipe.errors import InputError
from segpipe.folds import assign_folds, roles
from segpipe.io.atomic import write_text
from segpipe.log import logger
from segpipe.preprocess.store import write_table
from segpipe.stages import DatasetStage

COLUMNS = ["image_id", "image", "patient", "fold_wanted", "status", "notes", "picture", "content"]


def gather(stage: DatasetStage, tables: Sequence[Path], output: Path) -> None:
    """Write ``dataset.parquet`` (one row per image, sorted by id) and ``dataset.json`` (its fingerprint).

    A column ``role:<model>`` says what each image is to a model (:func:`segpipe.folds.roles`). The result
    depends on the images only, not on how they are sharded: ``shard`` and ``row`` say where a picture lies,
    and are left out of the fingerprint.

    Raises:
        InputError: nothing to train on, an empty fold, or the same picture labelled in two folds.
    """
    frames = []
    for path in tables:
        frame = pd.read_parquet(path, columns=COLUMNS)
        frames.append(frame.assign(shard=path.parent.name, row=range(len(frame))))
    images = pd.concat(frames, ignore_index=True).sort_values("image_id", ignore_index=True)
    _require_labels(images)
    images["fold"] = assign_folds(images, stage.folds, stage.seed)
    for model in stage.folds.models:
        images[f"role:{model}"] = roles(images, stage.folds, model, stage.seed)
    images["duplicate_of"] = duplicates(images)
    _check_duplicates(images, stage.duplicates)
    facts = describe(images, stage)
    write_table(output / "dataset.parquet", images)
    write_text(output / "dataset.json", canonical_json(facts))
    logger.info("dataset: %s", ", ".join(f"{key} {value}" for key, value in facts.items() if isinstance(value, int)))


def duplicates(images: pd.DataFrame) -> pd.Series:
    """For each image the id of the first one with the same picture in the store, or an empty text.

    So a copy is found under another name, and in another file format, too.
    """
    known = images["picture"].notna()
    first = images[known].groupby("picture")["image_id"].transform("first")
    return first.where(first != images.loc[known, "image_id"], "").reindex(images.index, fill_value="")


def describe(images: pd.DataFrame, stage: DatasetStage) -> dict[str, Any]:
    """Counts and a fingerprint of the labelled pictures and their folds."""
    labelled = images[images["status"] == "labelled"]
    lines = labelled["image_id"] + " " + labelled["content"] + " " + labelled["fold"]
    empty = {name: int(labelled["notes"].str.contains(f"mask_empty:{name}(?:;|$)").sum()) for name in stage.classes}
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
        "labelled_by_fold": {name: int(count) for name, count in labelled["fold"].value_counts().sort_index().items()},
        "empty_masks": empty,
        "fingerprint": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _require_labels(images: pd.DataFrame) -> None:
    if not (images["status"] == "labelled").any():
        bad = images[images["status"] == "quarantined"]
        raise InputError(
            f"None of the {len(images)} images has a usable mask ({len(bad)} are quarantined), so there is nothing "
            "to train on. results/<name>/shards/*/table.parquet and the preprocess logs give the reasons; "
            "to apply a trained model, give model.weights."
        )


def _check_duplicates(images: pd.DataFrame, policy: str) -> None:
    labelled = images[images["status"] == "labelled"]
    folds = labelled.groupby("picture")["fold"].nunique()
    shared = labelled[labelled["picture"].isin(folds[folds > 1].index)]
    if shared.empty:
        return
    first = shared[shared["picture"] == shared["picture"].iloc[0]]["image"].tolist()
    text = (
        f"{shared['picture'].nunique()} pictures are labelled in more than one fold, so a model is tested on what it "
        f"was trained on; the first: {' and '.join(first[:3])} show the same. Remove one, give both the same "
        "patient, or accept it with data.duplicates: warn."
    )
    if policy == "error":
        raise InputError(text)
    logger.warning(text)
