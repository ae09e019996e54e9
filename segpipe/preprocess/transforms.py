"""From an image file and its masks to the network's input: plain functions, in the order of docs/dicom.md.

Each takes a dictionary and returns it with more in it, as a step of a MONAI pipeline does; MONAI itself is imported
only for transforms that the config lists. Arrays are channel first: ``image`` (1, rows, columns), ``mask``
(classes, rows, columns) uint8 0/1. What was decided lies beside the pictures under ``decisions``, ``geometry`` and
``window``.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segpipe.config import Classes, Dicom, Preprocess, Raster
from segpipe.files.source import read_bytes
from segpipe.images.read import read_radiograph
from segpipe.images.types import Target
from segpipe.masks.reference import read_reference
from segpipe.preprocess.geometry import into_square, pad, plan_fit
from segpipe.preprocess.intensity import apply_window, choose_window
from segpipe.preprocess.store import unpack_bits

Data = dict[str, Any]


def preprocessing(
    classes: Classes,
    missing: Literal["quarantine", "empty"],
    preprocess: Preprocess,
    dicom: Dicom,
    root: Path = Path(),
    raster: Raster | None = None,
) -> Callable[[Mapping[str, Any]], Data]:
    """All steps as one function of ``image`` (a path), ``mask_files`` (paths by class) and ``invert``.

    Raises:
        ConfigError: ``preprocess.transforms`` names what MONAI does not have, or what is random.
    """

    def target(shape: tuple[int, int]) -> tuple[int, int]:
        geometry = plan_fit(shape, preprocess.size, preprocess.fit)
        return geometry.fitted_rows, geometry.fitted_columns

    extra: Callable[[Data], Data] | None = None
    if preprocess.transforms:
        from segpipe.preprocess.monai_transforms import listed_transforms

        extra = listed_transforms(preprocess)

    def prepare(files: Mapping[str, Any]) -> Data:
        data = load_radiograph(files, dicom, raster, target)
        data = load_reference(data, classes, missing, root)
        data = fit_to_square(data, preprocess.size, preprocess.fit)
        data = window_intensity(data, preprocess, dicom)
        return extra(data) if extra else data

    return prepare


def load_radiograph(
    data: Mapping[str, Any],
    dicom: Dicom | None = None,
    raster: Raster | None = None,
    target: Target | None = None,
) -> Data:
    """Read the file named by ``data["image"]``; leaves (1, rows, columns) there, and the facts beside it.

    ``data["invert"]`` (None, True, False) overrides the file's polarity. Adds ``radiograph``, ``decisions``,
    ``shape`` (rows, columns) of the picture in the file, ``sha256`` of the file's bytes (one read serves both), and
    ``file_bytes``, their number.
    With ``target`` the file may be decoded at a lower resolution, so that ``image`` is smaller than ``shape``.
    """
    raw = read_bytes(Path(data["image"]))
    radiograph = read_radiograph(raw, dicom, data.get("invert"), raster, target)
    return {
        **data,
        "image": radiograph.pixels[np.newaxis],
        "radiograph": radiograph,
        "shape": radiograph.shape,
        "decisions": radiograph.decisions,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "file_bytes": len(raw),
    }


def load_reference(
    data: Mapping[str, Any], classes: Classes, missing: Literal["quarantine", "empty"], root: Path = Path()
) -> Data:
    """Read the mask files in ``data["mask_files"]`` at the image's size; no files, no ``mask``.

    ``mask_sha256`` are hashes of the files. Messages name the files relative to ``root``.
    """
    if not data.get("mask_files"):
        return dict(data)
    reference = read_reference(data["mask_files"], classes, data["shape"], missing, root)
    return {
        **data,
        "mask": unpack_bits(reference.bits, len(classes)),
        "mask_notes": reference.notes,
        "mask_sha256": dict(reference.sha256),
    }


def fit_to_square(data: Mapping[str, Any], size: int, fit: Literal["letterbox", "stretch"]) -> Data:
    """Letterbox or stretch ``image`` and ``mask`` to ``size`` x ``size``.

    The geometry is that of ``data["shape"]``, or else of the image, and is left under ``geometry``. Areas of grey
    values are averaged; masks stay 0/1.
    """
    geometry = plan_fit(data.get("shape") or data["image"].shape[1:], size, fit)
    fitted = {key: into_square(data[key], geometry, key == "mask") for key in ("image", "mask") if key in data}
    return {**data, **fitted, "geometry": geometry}


def window_intensity(data: Mapping[str, Any], preprocess: Preprocess, dicom: Dicom) -> Data:
    """Choose the ``window`` of the fitted ``image`` and apply it, leaving uint8 or uint16; padding stays 0."""
    geometry = data["geometry"]
    inner = data["image"][0][geometry.inside]
    window = choose_window(data["radiograph"], inner, preprocess, dicom)
    windowed = apply_window(np.ascontiguousarray(inner), window, np.dtype(preprocess.dtype))
    return {**data, "image": pad(windowed, geometry)[np.newaxis], "window": window}
