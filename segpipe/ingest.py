"""The preprocess stage: one shard of files becomes a shard store, one row per image whatever happens."""

import hashlib
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.errors import SegpipeError
from segpipe.io.atomic import remove_leftovers
from segpipe.io.masks.reference import mask_dtype
from segpipe.isolation import Limits, Lost, isolated_map
from segpipe.log import logger, plain, track
from segpipe.preprocess.quality import FINGERPRINTS, MEASURES, measure
from segpipe.preprocess.store import FILES, pack_bits, stack_writer, write_table
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key, read_salt
from segpipe.samples.shards import carried_column, read_table
from segpipe.stages import PreprocessStage

PRELOAD = ("segpipe.transforms",)  # what takes long to import


@dataclass(frozen=True)
class Reading:
    """What became of one image: its row, and its pictures unless it is quarantined or has no mask."""

    row: dict[str, Any]
    image: np.ndarray | None = None  # (size, size), of preprocess.dtype
    mask: np.ndarray | None = None  # (size, size), bit i = class i


def preprocess_shard(stage: PreprocessStage, table: Path, output: Path) -> None:
    """Read every image of ``table``; write ``images.npy``, ``masks.npy`` and ``table.parquet`` into ``output``.

    Images are read in another process, so that a file which hangs or crashes a decoder costs its row. Memory is that
    of one image, however large the shard.
    """
    remove_leftovers(output)
    samples = list(read_table(table))
    shape = (stage.preprocess.size, stage.preprocess.size)
    no_image = np.zeros(shape, stage.preprocess.dtype)
    no_mask = np.zeros(shape, mask_dtype(len(stage.classes)))
    rows: list[dict[str, Any]] = []
    images_path, masks_path, table_path = (output / name for name in FILES)
    limits = Limits(stage.seconds_per_image)
    with (
        stack_writer(images_path, len(samples), shape, no_image.dtype) as images,
        stack_writer(masks_path, len(samples), shape, no_mask.dtype) as masks,
        isolated_map(image_reader, (stage,), samples, limits, preload=PRELOAD) as readings,
    ):
        for sample, found in zip(track(samples, len(samples), f"preprocess {table.stem}"), readings, strict=True):
            reading = Reading(quarantined(sample, found.reason)) if isinstance(found, Lost) else found
            images.append(no_image if reading.image is None else reading.image)
            masks.append(no_mask if reading.mask is None else reading.mask)
            rows.append(reading.row)
    write_table(table_path, pd.DataFrame(rows))
    _log_outcome(table.stem, rows)


def image_reader(stage: PreprocessStage) -> Callable[[Sample], Reading]:
    """The function that a worker applies to every sample."""
    from segpipe.transforms import preprocessing

    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    salt = read_salt(stage.patient_salt_file)

    def read(sample: Sample) -> Reading:
        data, row = read_sample(sample, stage, compose, salt)
        if data is None:
            return Reading(row)
        return Reading(row, data["image"][0], pack_bits(data["mask"]) if "mask" in data else None)

    return read


def read_sample(
    sample: Sample, stage: PreprocessStage, compose: Any, salt: bytes
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """One image through the transforms: its pictures (None if quarantined) and its row."""
    try:
        data = compose(
            {
                "image": inside(stage.root, sample.image, stage.links),
                "mask_files": {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()},
                "invert": {"": None, "true": True, "false": False}[sample.invert],
            }
        )
        row = _empty_row(sample) | _facts(data, stage)
    except Exception as error:
        return None, quarantined(sample, reason(error))
    row["patient"], row["patient_source"] = _patient(sample, data["radiograph"].patient_id, salt)
    row["status"] = "labelled" if "mask" in data else "unlabelled"
    return data, row


def quarantined(sample: Sample, why: str) -> dict[str, Any]:
    """The row of an image that cannot be used."""
    return _empty_row(sample) | {"status": "quarantined", "reason": why}


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
    *("burned_in_annotation", "recognizable_visual_features"),
    *("spacing_row_mm", "spacing_column_mm", "spacing_source", "intensity_method", "intensity_low"),
    *("intensity_high", "fit", "scale_row", "scale_column", "fitted_rows", "fitted_columns"),
    *("pad_top", "pad_left", "size"),
    *MEASURES,
    *FINGERPRINTS,
)


def _facts(data: dict[str, Any], stage: PreprocessStage) -> dict[str, Any]:
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
        "fit": stage.preprocess.fit,
        **measure(data["image"][0], data["radiograph"], geometry, data.get("mask"), list(stage.classes)),
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
        logger.warning("quarantined %s: %s", plain(row["image"]), plain(row["reason"]))
    labelled = sum(row["status"] == "labelled" for row in rows)
    logger.info("shard %s: %d images, %d labelled, %d quarantined", shard, len(rows), labelled, len(bad))
