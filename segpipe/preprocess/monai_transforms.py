"""MONAI's transforms in the pipeline: those that a config lists, and our geometry for pipelines of MONAI's own.

The functions of :mod:`segpipe.preprocess.transforms` need no wrapper: MONAI's ``Compose`` takes them as they are.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal

import numpy as np
from monai import transforms as monai_transforms
from monai.transforms import Compose, InvertibleTransform, MapTransform, Randomizable, Transform

from segpipe.config import MonaiTransform, Preprocess
from segpipe.errors import ConfigError, ImageError
from segpipe.preprocess.geometry import Geometry, at_original_size, into_square, plan_fit

Data = dict[Hashable, Any]


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


def listed_transforms(preprocess: Preprocess) -> Compose:
    """``preprocess.transforms`` on ``image`` as float32 in [0, 1], as MONAI's intensity transforms expect.

    Raises:
        ConfigError: as :func:`monai_transform`, and for a random one.
    """
    transforms = [monai_transform(entry) for entry in preprocess.transforms]
    for entry, transform in zip(preprocess.transforms, transforms, strict=True):
        if isinstance(transform, Randomizable):
            raise ConfigError(
                f"preprocess.transforms: {entry.name} is random, so the same file would give other pixels each time. "
                "Random transforms belong in train.augment."
            )
    dtype, shape = np.dtype(preprocess.dtype), (1, preprocess.size, preprocess.size)

    def to_unit(data: Data) -> Data:
        return {**data, "image": data["image"].astype(np.float32) / np.iinfo(dtype).max}

    def to_stored(data: Data) -> Data:
        image = np.asarray(data["image"], np.float32)
        if image.shape != shape or not np.isfinite(image).all():
            raise ImageError(
                f"preprocess.transforms left {image.shape} with {np.count_nonzero(~np.isfinite(image))} values that "
                f"are no numbers; expected finite values of shape {shape}. Spatial transforms belong in train.augment."
            )
        return {**data, "image": np.rint(np.clip(image, 0, 1) * np.iinfo(dtype).max).astype(dtype)}

    return Compose([to_unit, *transforms, to_stored])


class Fitd(MapTransform, InvertibleTransform):
    """:func:`segpipe.preprocess.transforms.fit_to_square`, which ``Compose.inverse`` undoes."""

    def __init__(self, size: int = 512, fit: Literal["letterbox", "stretch"] = "letterbox") -> None:
        super().__init__(("image", "mask"), allow_missing_keys=True)
        self.size, self.fit = size, fit

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        geometry = plan_fit(data.get("shape") or data["image"].shape[1:], self.size, self.fit)
        result = {**data, "geometry": geometry}
        for key in self.key_iterator(result):
            self.push_transform(result, key, extra_info={"geometry": vars(geometry)})
            result[key] = into_square(result[key], geometry, masks=key == "mask")
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> Data:
        """Undo the fit of image and mask; a mask comes back as 0/1 (its linear restoration at 0.5)."""
        result = dict(data)
        for key in self.key_iterator(result):
            geometry = Geometry(**self.pop_transform(result, key)["extra_info"]["geometry"])
            restored = at_original_size(result[key], geometry)
            result[key] = (restored >= 0.5).astype(np.uint8) if key == "mask" else restored
        result.pop("geometry", None)
        return result


class RestoreGeometryd(MapTransform):
    """Bring ``key``, (classes, size, size) float32, back to the size recorded in ``data["geometry"]``."""

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        return {**data, **{key: at_original_size(data[key], data["geometry"]) for key in self.key_iterator(dict(data))}}
