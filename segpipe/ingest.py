"""The preprocess stage: one shard of files becomes a shard store, one row per image whatever happens."""

import hashlib
import re
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.errors import SegpipeError
from segpipe.io.atomic import remove_leftovers
from segpipe.io.masks import mask_dtype
from segpipe.log import logger, track
from segpipe.preprocess.store import FILES, pack_bits, stack_writer, write_table
from segpipe.samples.sample import Sample, inside, patient_key, read_salt
from segpipe.samples.shards import carried_column, read_table
from segpipe.stages import PreprocessStage
from segpipe.transforms import preprocessing


def preprocess_shard(stage: PreprocessStage, table: Path, output: Path) -> None:
    """Read every image of ``table``; write ``images.npy``, ``masks.npy`` and ``table.parquet`` into ``output``.

    Memory is that of one image, however large the shard.
    """
    remove_leftovers(output)
    samples = list(read_table(table))
    size, classes = stage.preprocess.size, len(stage.classes)
    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    salt = read_salt(stage.patient_salt_file)
    rows: list[dict[str, Any]] = []
    images_path, masks_path, table_path = (output / name for name in FILES)
    with ExitStack() as files:
        images = files.enter_context(
            stack_writer(images_path, len(samples), (size, size), np.dtype(stage.preprocess.dtype))
        )
        masks = files.enter_context(stack_writer(masks_path, len(samples), (size, size), mask_dtype(classes)))
        for sample in track(samples, len(samples), f"preprocess {table.stem}"):
            data, row = read_sample(sample, stage, compose, salt)
            images.append(data["image"][0] if data else np.zeros((size, size), stage.preprocess.dtype))
            masks.append(
                pack_bits(data["mask"]) if data and "mask" in data else np.zeros((size, size), mask_dtype(classes))
            )
            rows.append(row)
    write_table(table_path, pd.DataFrame(rows))
    _log_outcome(table.stem, rows)


def read_sample(
    sample: Sample, stage: PreprocessStage, compose: Any, salt: bytes
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """One image through the transforms: its pictures (None if quarantined) and its row."""
    row = _empty_row(sample)
    try:
        data = compose(
            {
                "image": inside(stage.root, sample.image),
                "mask_files": {name: inside(stage.root, path) for name, path in sample.masks.items()},
                "invert": {"": None, "true": True, "false": False}[sample.invert],
            }
        )
    except Exception as error:
        row["status"], row["reason"] = "quarantined", reason(error)
        return None, row
    row |= _facts(data, stage.preprocess.fit)
    row["patient"], row["patient_source"] = _patient(sample, data["radiograph"].patient_id, salt)
    row["status"] = "labelled" if "mask" in data else "unlabelled"
    return data, row


def reason(error: BaseException) -> str:
    """What the report says of a failed image: the reader's own words, or only the kind of an unforeseen error."""
    cause: BaseException | None = error
    while cause is not None:  # MONAI's Compose wraps what a transform raises
        if isinstance(cause, SegpipeError):
            return " ".join(str(cause).split())
        last, cause = cause, cause.__cause__
    # The text of a foreign exception may quote the file's header; its kind and place may not.
    logger.warning("unforeseen %s:\n%s", type(last).__name__, "".join(traceback.format_tb(last.__traceback__)))
    step = re.search(r"applying transform <[\w.]*\.(\w+) object", str(error))
    where = f"in the transform {step[1]}" if step else "while reading"
    return f"unforeseen {type(last).__name__} {where}; the log has the place. If the config is right, report it."


def _empty_row(sample: Sample) -> dict[str, Any]:
    """The columns every row has, in order, with what is known before the file is opened."""
    facts: dict[str, Any] = dict.fromkeys(_READ)
    return {
        "image_id": sample.image_id,
        "image": sample.image,
        "patient": sample.patient,
        "patient_source": "sheet or pattern" if sample.patient else "unknown",
        "site": sample.site,
        "fold_wanted": sample.fold,
        "status": "",
        "reason": "",
        **facts,
        **{carried_column(name): value for name, value in sample.carried.items()},
    }


# What is recorded of a readable image, in the table's order.
_READ = (
    *("notes", "sha256", "picture", "content", "format", "modality", "photometric_interpretation", "transfer_syntax"),
    *("bits_stored", "frame", "decoded_at", "modality_lut", "voi", "inverted", "invert_source", "rows", "columns"),
    *("spacing_row_mm", "spacing_column_mm", "spacing_source", "intensity_method", "intensity_low"),
    *("intensity_high", "fit", "scale_row", "scale_column", "fitted_rows", "fitted_columns"),
    *("pad_top", "pad_left", "size"),
)


def _facts(data: dict[str, Any], fit: str) -> dict[str, Any]:
    decisions, geometry, window = data["decisions"], data["geometry"], data["window"]
    notes = [*decisions.notes, *data.get("mask_notes", ())]
    return {
        **{name: getattr(decisions, name) for name in _READ if hasattr(decisions, name)},
        **{name: getattr(geometry, name) for name in _READ if hasattr(geometry, name)},
        "notes": "; ".join(notes),
        "sha256": data["sha256"],
        **_hashes(data),
        "intensity_method": window.method,
        "intensity_low": window.low,
        "intensity_high": window.high,
        "fit": fit,
    }


def _hashes(data: dict[str, Any]) -> dict[str, str]:
    """``picture``: of the stored picture, the same for copies in any format; ``content``: of it and its masks."""
    digest = hashlib.sha256(np.ascontiguousarray(data["image"]).data)
    picture = digest.hexdigest()
    if "mask" in data:
        digest.update(pack_bits(data["mask"]).data)
    return {"picture": picture, "content": digest.hexdigest()}


def _patient(sample: Sample, patient_id: str, salt: bytes) -> tuple[str, str]:
    """The patient's key: the sheet's or pattern's, else the file's PatientID, else the image stands for itself."""
    if sample.patient:
        return sample.patient, "sheet or pattern"
    if patient_id:
        return patient_key(patient_id, salt), "PatientID"
    return patient_key(f"image/{sample.image_id}", salt), "image"


def _log_outcome(shard: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    bad = [row for row in rows if row["status"] == "quarantined"]
    for row in bad:
        logger.warning("quarantined %s: %s", row["image"], row["reason"])
    labelled = sum(row["status"] == "labelled" for row in rows)
    logger.info("shard %s: %d images, %d labelled, %d quarantined", shard, len(rows), labelled, len(bad))
