"""The preprocess stage: one shard of files becomes a shard store, one row per image whatever happens."""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.config.stages import PreprocessStage
from segpipe.errors import SegpipeError
from segpipe.files.atomic import remove_leftovers
from segpipe.files.space import check_space
from segpipe.log import logger, plain, track
from segpipe.masks.reference import mask_dtype
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import Limits, Lost
from segpipe.preprocess.quality import measure
from segpipe.preprocess.reuse import (
    Found,
    Search,
    keep,
    kept_as,
    list_kept,
    of_use,
    present_tables,
    recipe,
    remove_old,
    remove_unused,
    salt_key,
    settings_hash,
)
from segpipe.preprocess.store import FACTS, FILES, empty_row, pack_bits, picture_hashes, stack_writer, write_rows
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key, read_salt
from segpipe.samples.shards import fingerprint, read_table

PRELOAD = ("segpipe.preprocess.transforms",)  # what takes long to import


@dataclass(frozen=True)
class Reading:
    """What became of one image: its row, and its pictures unless it is quarantined or has no mask."""

    row: dict[str, Any]
    image: np.ndarray | None = None  # (size, size), of preprocess.dtype
    mask: np.ndarray | None = None  # (size, size), bit i = class i


def preprocess_shard(
    stage: PreprocessStage, table: Path, output: Path, kept: Path | None = None, threads: int = 1
) -> None:
    """Bring every image of ``table`` into ``images.npy``, ``masks.npy`` and ``table.parquet`` of ``output``.

    Rows whose files and settings are those of a row in the folder ``kept`` are taken over from there, and the new
    store is kept there, too (:mod:`segpipe.preprocess.reuse`). The others are read in another process, so that a file
    which hangs or crashes a decoder costs its row. ``threads`` such processes read at the same time; the result is the
    same for any number. Memory is that of a few images for each, however large the shard.
    """
    remove_leftovers(output)
    made_from = fingerprint(table.read_bytes())
    samples = list(read_table(table))
    search = Search(stage, samples, settings_hash(stage), read_salt(stage.patient_salt_file))
    if kept:
        search.look_into(of_use(list_kept(kept), table.stem, present_tables(table.parent)))
    rows = _write_store(stage, table.stem, samples, search.found, output, threads)
    if kept:
        mine = kept_as(kept, table.stem, search.settings, made_from)
        keep(output, mine)
        remove_old(mine, search.taken, search.rows)
        remove_unused(kept, present_tables(table.parent))
    _log_outcome(table.stem, rows, len(search.found))


def _write_store(
    stage: PreprocessStage,
    shard: str,
    samples: Sequence[Sample],
    found: Mapping[int, Found],
    output: Path,
    threads: int,
) -> list[dict[str, Any]]:
    """Write the three files, from rows that were ``found`` (by number of the sample) and by reading; the rows."""
    shape = (stage.preprocess.size, stage.preprocess.size)
    no_image = np.zeros(shape, stage.preprocess.dtype)
    no_mask = np.zeros(shape, mask_dtype(len(stage.classes)))
    images_path, masks_path, table_path = (output / name for name in FILES)
    check_space(output, len(samples) * (no_image.nbytes + no_mask.nbytes), f"pictures and masks of shard {shard}")
    rows: list[dict[str, Any]] = []
    with (
        stack_writer(images_path, len(samples), shape, no_image.dtype) as images,
        stack_writer(masks_path, len(samples), shape, no_mask.dtype) as masks,
        _readings(stage, samples, found, threads) as readings,
    ):
        for reading in track(readings, len(samples), f"preprocess {shard}"):
            images.append(no_image if reading.image is None else reading.image)
            masks.append(no_mask if reading.mask is None else reading.mask)
            rows.append(reading.row)
    write_rows(table_path, rows, stage.classes)
    return rows


@contextmanager
def _readings(
    stage: PreprocessStage, samples: Sequence[Sample], found: Mapping[int, Found], threads: int
) -> Iterator[Iterator[Reading]]:
    """What became of each sample, in order."""
    todo = [sample for number, sample in enumerate(samples) if number not in found]
    with isolated_map(image_reader, (stage,), todo, Limits(stage.seconds_per_image), threads, PRELOAD) as read:

        def one(number: int, sample: Sample) -> Reading:
            if number in found:
                return Reading(found[number].row, found[number].image, found[number].mask)
            reading = next(read)
            return Reading(quarantined(sample, reading.reason)) if isinstance(reading, Lost) else reading

        yield (one(number, sample) for number, sample in enumerate(samples))


def image_reader(stage: PreprocessStage) -> Callable[[Sample], Reading]:
    """The function that a worker applies to every sample."""
    from segpipe.preprocess.transforms import preprocessing

    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    salt, settings = read_salt(stage.patient_salt_file), settings_hash(stage)

    def read(sample: Sample) -> Reading:
        data, row = read_sample(sample, stage, compose, salt, settings)
        if data is None:
            return Reading(row)
        return Reading(row, data["image"][0], pack_bits(data["mask"]) if "mask" in data else None)

    return read


def read_sample(
    sample: Sample, stage: PreprocessStage, compose: Any, salt: bytes, settings: str = ""
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """One image through the transforms: its pictures (None if quarantined) and its row.

    ``settings`` (:func:`segpipe.preprocess.reuse.settings_hash`) goes into the row's recipe.
    """
    try:
        data = compose(
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
    row["recipe"] = recipe(settings, sample.invert, data["sha256"], masks)
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


def _log_outcome(shard: str, rows: Sequence[dict[str, Any]], taken: int) -> None:
    bad = [row for row in rows if row["status"] == "quarantined"]
    for row in bad:
        logger.warning("quarantined %s: %s", plain(row["image"]), plain(row["reason"]))
    labelled = sum(row["status"] == "labelled" for row in rows)
    logger.info(
        "shard %s: %d images, %d taken over unchanged, %d read; %d labelled, %d quarantined",
        shard, len(rows), taken, len(rows) - taken, labelled, len(bad),
    )  # fmt: skip
