"""Reading one image with its masks: the pictures that the store holds, and a row, whatever the files are."""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from segpipe.config.stages import PreprocessStage
from segpipe.errors import SegpipeError
from segpipe.log import logger
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from segpipe.preprocess.quality import measure
from segpipe.preprocess.reuse import cache_key, salt_key, settings_hash
from segpipe.preprocess.store import FACTS, Reading, empty_row, pack_bits, picture_hashes
from segpipe.preprocess.transforms import Data, preprocessing
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key, read_salt

Prepare = Callable[[Mapping[str, Any]], Data]


@contextmanager
def read_images(samples: Sequence[Sample], stage: PreprocessStage, workers: int = 1) -> Iterator[Iterator[Reading]]:
    """What became of each sample, in order, read by isolated processes (:func:`segpipe.pool.isolated.isolated_map`)."""
    with isolated_map(image_reader, (stage,), samples, Limits(stage.seconds_per_image), workers) as found:
        yield (
            Reading(quarantined(sample, reading.reason)) if isinstance(reading, ItemFailure) else reading
            for sample, reading in zip(samples, found, strict=True)
        )


def image_reader(stage: PreprocessStage) -> Callable[[Sample], Reading]:
    """The function that a worker applies to every sample."""
    cv2.setNumThreads(1)  # each worker has a core
    prepare = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    salt, settings = read_salt(stage.patient_salt_file), settings_hash(stage)

    def read(sample: Sample) -> Reading:
        data, row = read_sample(sample, stage, prepare, salt, settings)
        if data is None:
            return Reading(row)
        return Reading(row, data["image"][0], pack_bits(data["mask"]) if "mask" in data else None)

    return read


def read_sample(
    sample: Sample, stage: PreprocessStage, prepare: Prepare, salt: bytes, settings: str = ""
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """One image through the transforms: its pictures (None if quarantined) and its row.

    ``settings`` (:func:`segpipe.preprocess.reuse.settings_hash`) goes into the row's cache key.
    """
    try:
        data = prepare(
            {
                "image": inside(stage.root, sample.image, stage.links),
                "mask_files": {name: mask_inside(stage.root, path, stage.links) for name, path in sample.masks.items()},
                "invert": {"": None, "true": True, "false": False}[sample.invert],
            }
        )
        row = empty_row(sample) | _facts(data, stage)
    except Exception as error:
        return None, quarantined(sample, reason(error))
    row["patient"], row["patient_source"] = _patient(sample, data["radiograph"].patient_id, salt)
    row["status"] = "labelled" if "mask" in data else "unlabelled"
    masks = data.get("mask_sha256", {})
    row["mask_sha256"] = " ".join(value for _, value in sorted(masks.items()))
    row["cache_key"] = cache_key(settings, sample.invert, data["sha256"], masks)
    row["salt_key"] = salt_key(salt)
    return data, row


def quarantined(sample: Sample, why: str) -> dict[str, Any]:
    """The row of an image that cannot be used."""
    return empty_row(sample) | {"status": "quarantined", "reason": why}


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


def _facts(data: dict[str, Any], stage: PreprocessStage) -> dict[str, Any]:
    decisions, geometry, window = data["decisions"], data["geometry"], data["window"]
    notes = [*decisions.notes, *data.get("mask_notes", ())]
    return {
        **{name: getattr(decisions, name) for name in FACTS if hasattr(decisions, name)},
        **{name: getattr(geometry, name) for name in FACTS if hasattr(geometry, name)},
        "notes": "; ".join(notes),
        "sha256": data["sha256"],
        "file_bytes": data["file_bytes"],
        **_hashes(data),
        "intensity_method": window.method,
        "intensity_low": window.low,
        "intensity_high": window.high,
        "fit": stage.preprocess.fit,
        **measure(data["image"][0], data["radiograph"], geometry, data.get("mask"), list(stage.classes)),
    }


def _hashes(data: dict[str, Any]) -> dict[str, str]:
    mask = pack_bits(data["mask"]).data if "mask" in data else None
    picture, content = picture_hashes(np.ascontiguousarray(data["image"]).data, mask)
    return {"picture": picture, "content": content}


def _patient(sample: Sample, patient_id: str, salt: bytes) -> tuple[str, str]:
    """The patient's key: the sheet's or pattern's, else the file's PatientID, else the image stands for itself."""
    if sample.patient:
        return sample.patient, "sheet or pattern"
    if patient_id:
        return patient_key(patient_id, salt), "PatientID"
    return patient_key(f"image/{sample.image_id}", salt), "image"
