"""What a row of the store was made from: hashes of its files and of everything else that decides its pixels.

Two rows of one recipe are the same picture with the same facts, wherever the files lie and whatever they are called.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2

from segpipe.errors import ImageError
from segpipe.io.digest import hash_file
from segpipe.io.source import MAX_FILE_BYTES
from segpipe.preprocess.rows import FACTS
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key
from segpipe.stages import PreprocessStage

# Where the files lie, who may read them, how long it may take and how patients are called decides no pixel.
_ELSEWHERE = {"root", "links", "patient_salt_file", "patient_salt_stamp", "seconds_per_image"}
_READERS = ("imagecodecs", "monai", "nibabel", "numpy", "pillow", "pydicom")


def settings_hash(stage: PreprocessStage) -> str:
    """A hash of the settings, of the versions of all that decodes and resizes, and of what a row consists of."""
    settings = stage.model_dump(mode="json", exclude=_ELSEWHERE)
    text = json.dumps([settings, FACTS, cv2.__version__, *map(_version, _READERS)])
    return hashlib.sha256(text.encode()).hexdigest()


def recipe(settings: str, invert: str, image: str, masks: Mapping[str, str]) -> str:
    """The recipe of a row: ``image`` and ``masks`` are SHA-256 of the files, ``invert`` is the sheet's word."""
    return hashlib.sha256(json.dumps([settings, invert, image, sorted(masks.items())]).encode()).hexdigest()


def salt_key(salt: bytes) -> str:
    """What tells one salt from another: keys from a Patient ID hold for one salt only."""
    return patient_key("segpipe/salt", salt)


def recipe_of_files(sample: Sample, stage: PreprocessStage, settings: str) -> str:
    """The recipe of a sample's files as they are now; "" where a reader has to say what is wrong with them."""
    try:
        image = _hash(inside(stage.root, sample.image, stage.links))
        masks = {name: _hash(mask_inside(stage.root, path, stage.links)) for name, path in sample.masks.items()}
    except (ImageError, OSError, ValueError):
        return ""
    return recipe(settings, sample.invert, image, masks)


def file_size(sample: Sample, stage: PreprocessStage) -> int:
    """The image's size in bytes; -1 where it has none."""
    try:
        return os.stat(stage.root / sample.image).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return -1


def _hash(path: Path) -> str:
    """SHA-256 of a regular file that a reader would take."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_FILE_BYTES:
        raise ImageError("is for the reader to refuse")
    return hash_file(path)


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
