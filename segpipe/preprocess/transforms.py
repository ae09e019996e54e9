"""The pipeline's own steps as MONAI dictionary transforms, so that any MONAI transform can join them.

Arrays are channel first: ``image`` (1, rows, columns), ``mask`` (classes, rows, columns) uint8 0/1.
Geometry is invertible with ``Compose.inverse``; what was decided lies beside the pictures under
``decisions``, ``geometry`` and ``window``.
"""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monai import transforms as monai_transforms
from monai.transforms import Compose, InvertibleTransform, MapTransform, Randomizable, Transform

from segpipe.config import Classes, Dicom, MonaiTransform, Preprocess, Raster
from segpipe.errors import ConfigError, ImageError
from segpipe.files.source import read_bytes
from segpipe.images.read import read_radiograph
from segpipe.images.types import Radiograph, Target
from segpipe.masks.reference import read_reference
from segpipe.preprocess.geometry import Geometry, fit_mask, fit_picture, pad, plan_fit, restore
from segpipe.preprocess.intensity import apply_window, choose_window
from segpipe.preprocess.store import unpack_bits

Data = dict[Hashable, Any]


class LoadRadiographd(Transform):
    """Read the file named by ``data[key]``; leaves (1, rows, columns) there, and the facts beside it.

    ``data["invert"]`` (None, True, False) overrides the file's polarity. Adds ``radiograph``, ``decisions``,
    ``shape`` (rows, columns) of the picture in the file, ``sha256`` of the file's bytes (one read serves both), and
    ``file_bytes``, their number.
    With ``target`` the file may be decoded at a lower resolution, so that ``image`` is smaller than ``shape``.
    """

    def __init__(
        self,
        key: str = "image",
        dicom: Dicom | None = None,
        raster: Raster | None = None,
        target: Target | None = None,
    ) -> None:
        self.key, self.dicom, self.raster, self.target = key, dicom, raster, target

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        raw = read_bytes(Path(data[self.key]))
        radiograph = read_radiograph(raw, self.dicom, data.get("invert"), self.raster, self.target)
        return {
            **data,
            self.key: radiograph.pixels[np.newaxis],
            "radiograph": radiograph,
            "shape": radiograph.shape,
            "decisions": radiograph.decisions,
            "sha256": hashlib.sha256(raw).hexdigest(),
            "file_bytes": len(raw),
        }


class LoadReferenced(Transform):
    """Read the mask files in ``data["mask_files"]`` at the image's size; no files, no ``mask``.

    ``mask_sha256`` are hashes of the files. Messages name the files relative to ``root``.
    """

    def __init__(
        self,
        classes: Classes,
        missing: Literal["quarantine", "empty"] = "quarantine",
        root: Path = Path(),
    ) -> None:
        self.classes, self.missing, self.root = classes, missing, root

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        if not data.get("mask_files"):
            return dict(data)
        reference = read_reference(data["mask_files"], self.classes, data["shape"], self.missing, self.root)
        return {
            **data,
            "mask": unpack_bits(reference.bits, len(self.classes)),
            "mask_notes": reference.notes,
            "mask_sha256": dict(reference.sha256),
        }


class Fitd(MapTransform, InvertibleTransform):
    """Letterbox or stretch to ``size`` x ``size``; the inverse restores the original size.

    Keys in ``masks`` are 0/1 and stay so; the others are grey values (areas are averaged). The geometry is
    that of ``data["shape"]``, or else of the first key, and is left under ``geometry``.
    """

    def __init__(
        self,
        keys: Sequence[str] = ("image", "mask"),
        masks: Sequence[str] = ("mask",),
        size: int = 512,
        fit: Literal["letterbox", "stretch"] = "letterbox",
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.masks, self.size, self.fit = tuple(masks), size, fit

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        result = dict(data)
        for key in self.key_iterator(result):
            geometry = plan_fit(result.get("shape") or result[key].shape[1:], self.size, self.fit)
            result.setdefault("geometry", geometry)
            self.push_transform(result, key, extra_info={"geometry": vars(geometry)})
            fitted = [self._fit(channel, key, geometry) for channel in np.asarray(result[key])]
            result[key] = np.stack(fitted)
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> Data:
        """Undo the fit of every key that has one; a mask comes back as 0/1 (its linear restoration at 0.5)."""
        result = dict(data)
        for key in self.key_iterator(result):
            applied = self.pop_transform(result, key)
            geometry = Geometry(**applied["extra_info"]["geometry"])
            restored = np.stack([restore(channel.astype(np.float32), geometry) for channel in result[key]])
            result[key] = (restored >= 0.5).astype(np.uint8) if key in self.masks else restored
        result.pop("geometry", None)
        return result

    def _fit(self, channel: np.ndarray, key: Hashable, geometry: Geometry) -> np.ndarray:
        return fit_mask(channel, geometry) if key in self.masks else pad(fit_picture(channel, geometry), geometry)


class WindowIntensityd(Transform):
    """Choose the window of the fitted ``image`` and apply it, leaving uint8 or uint16; padding stays 0."""

    def __init__(self, preprocess: Preprocess | None = None, dicom: Dicom | None = None) -> None:
        self.preprocess, self.dicom = preprocess or Preprocess(), dicom or Dicom()

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        radiograph: Radiograph = data["radiograph"]
        geometry: Geometry = data["geometry"]
        inner = data["image"][0][geometry.inside]
        window = choose_window(radiograph, inner, self.preprocess, self.dicom)
        windowed = apply_window(np.ascontiguousarray(inner), window, np.dtype(self.preprocess.dtype))
        return {**data, "image": pad(windowed, geometry)[np.newaxis], "window": window}


class ToUnitd(Transform):
    """Stored integers to float32 in [0, 1], as MONAI's intensity transforms expect."""

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        image = data["image"]
        return {**data, "image": image.astype(np.float32) / np.iinfo(image.dtype).max}


class ToStoredd(Transform):
    """[0, 1] back to stored integers; the shape must have survived the transforms in between."""

    def __init__(self, size: int, dtype: str) -> None:
        self.size, self.dtype = size, np.dtype(dtype)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        image = np.asarray(data["image"], np.float32)
        if image.shape != (1, self.size, self.size) or not np.isfinite(image).all():
            raise ImageError(
                f"preprocess.transforms left {image.shape} with {np.count_nonzero(~np.isfinite(image))} values that "
                f"are no numbers; expected finite values of shape {(1, self.size, self.size)}. Spatial transforms "
                "belong in train.augment."
            )
        stored = np.rint(np.clip(image, 0, 1) * np.iinfo(self.dtype).max).astype(self.dtype)
        return {**data, "image": stored}


class RestoreGeometryd(MapTransform):
    """Bring ``key``, (classes, size, size) float32, back to the size recorded in ``data["geometry"]``."""

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        result = dict(data)
        for key in self.key_iterator(result):
            channels, geometry = np.asarray(result[key], np.float32), result["geometry"]
            restored = np.empty(
                (len(channels), geometry.rows, geometry.columns), np.float32
            )  # np.stack takes twice that
            for channel, place in zip(channels, restored, strict=True):
                place[:] = restore(channel, geometry)
            result[key] = restored
        return result


def monai_transform(entry: MonaiTransform, own: Mapping[str, Callable[..., Transform]] | None = None) -> Transform:
    """An instance of the MONAI transform that a config entry names, or of one of segpipe's ``own``.

    Raises:
        ConfigError: there is no such transform, or it does not take these arguments.
    """
    kind = getattr(monai_transforms, entry.name, None)
    known = isinstance(kind, type) and issubclass(kind, Transform)
    make = kind if known else (own or {}).get(entry.name)
    if make is None:
        raise ConfigError(f"MONAI has no transform {entry.name!r}. Names are those of monai.transforms, as RandFlipd.")
    try:
        return make(**entry.arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{entry.name} does not take {entry.arguments}: {error}") from None


def preprocessing(
    classes: Classes,
    missing: Literal["quarantine", "empty"],
    preprocess: Preprocess,
    dicom: Dicom,
    root: Path = Path(),
    raster: Raster | None = None,
) -> Compose:
    """File names to the network's input, in the order of docs/dicom.md."""

    def target(shape: tuple[int, int]) -> tuple[int, int]:
        geometry = plan_fit(shape, preprocess.size, preprocess.fit)
        return geometry.fitted_rows, geometry.fitted_columns

    steps: list[Transform] = [
        LoadRadiographd(dicom=dicom, raster=raster, target=target),
        LoadReferenced(classes, missing, root),
        Fitd(size=preprocess.size, fit=preprocess.fit),
        WindowIntensityd(preprocess, dicom),
    ]
    if preprocess.transforms:
        extra = [_not_random(monai_transform(entry), entry) for entry in preprocess.transforms]
        steps += [ToUnitd(), *extra, ToStoredd(preprocess.size, preprocess.dtype)]
    return Compose(steps)


def _not_random(transform: Transform, entry: MonaiTransform) -> Transform:
    if isinstance(transform, Randomizable):
        raise ConfigError(
            f"preprocess.transforms: {entry.name} is random, so the same file would give other pixels each time. "
            "Random transforms belong in train.augment."
        )
    return transform
