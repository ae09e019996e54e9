"""Which images and masks there are, how masks name classes, and how files become the network's input."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from segpipe.errors import ConfigError

# What all sections of the config share.


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MonaiTransform(Section):
    """Any MONAI transform by class name, with its arguments: ``{name: RandFlipd, prob: 0.5}``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="class name in monai.transforms, a dictionary transform (ends in d)")

    @property
    def arguments(self) -> dict[str, Any]:
        """The transform's keyword arguments."""
        return dict(self.__pydantic_extra__ or {})


# Which images and masks there are, and how masks name classes.

ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PixelValues = Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1)]
LabelTexts = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)]

ClassValues = list[int] | list[str] | None
"""How masks name a class: by numbers, by the texts of labels, or not at all where a file shows it alone."""

Classes = Mapping[str, ClassValues]


MAX_CLASSES = 32  # one bit each in a mask


class Data(Section):
    """Which images and masks there are."""

    root: Path = Field(Path(), description="folder that sheet, images and masks are relative to")
    sheet: Path | None = Field(
        None, description="sample sheet (.csv or .tsv) with columns image, mask or one per class, patient, ..."
    )
    images: list[str] = Field([], description="path patterns; wildcards such as {patient} become columns")
    masks: str | dict[ClassName, str] | None = Field(
        None, description="mask pattern with the images' wildcards, or one pattern per class"
    )
    missing_mask: Literal["quarantine", "empty"] = Field(
        "quarantine",
        description="an image with masks for some classes only: quarantine it, or take the others as empty",
    )
    patient_salt_file: Path | None = Field(
        None, description="file whose content salts the patient keys; keep it out of the results"
    )
    shards: Literal["auto"] | int = Field(
        "auto", description="number of shards, a power of two; auto: about 512 images each"
    )
    duplicates: Literal["error", "warn"] = Field(
        "error", description="the same picture labelled in two folds: stop, or only say so"
    )
    links: Literal["inside", "follow"] = Field(
        "inside", description="symbolic links: inside, they may not lead out of data.root; follow, they may"
    )
    seconds_per_image: int = Field(
        120, ge=1, description="CPU seconds after which reading one image is given up and the image quarantined"
    )
    tolerate: float = Field(
        0.1, ge=0, le=1, description="largest fraction of quarantined images of a run that counts as successful"
    )

    @field_validator("images", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("shards")
    @classmethod
    def _power_of_two(cls, value: Literal["auto"] | int) -> Literal["auto"] | int:
        if isinstance(value, int) and (value < 1 or value & (value - 1)):
            raise ValueError(f"must be auto or a power of two (1, 2, 4, 8, ...), not {value}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if bool(self.sheet) == bool(self.images):
            raise ValueError("give either sheet or images, not both and not neither")
        if self.sheet and self.masks:
            raise ValueError("masks are columns of the sheet; remove data.masks")
        return self


# How one label image can hold all classes.


def label_values(classes: Classes) -> list[int]:
    """The pixel value of each class in a label image: the config's, or 1, 2, 3, ... where it has no number at all.

    Raises:
        ConfigError: the values do not tell the classes from each other and from the background.
    """
    values = [_numbers(wanted) for wanted in classes.values()]
    if not any(values):
        return list(range(1, len(classes) + 1))
    if not have_label_values(classes):
        raise ConfigError(
            "predict.form: labels needs one pixel value for each class, all different and none 0 (the background), "
            "but classes have none, several or shared ones. Use predict.form: per_class."
        )
    return [numbers[0] for numbers in values]


def have_label_values(classes: Classes) -> bool:
    """Whether each class has a pixel value of its own, so that one label image can hold them all."""
    values = [value for wanted in classes.values() for value in _numbers(wanted) or [0]]
    return len(values) == len(set(values)) == len(classes) and 0 not in values


def _numbers(wanted: ClassValues) -> list[int]:
    """The pixel values among what a class is named by; texts are none."""
    return [value for value in wanted or () if isinstance(value, int)]


# Which classes have a side: in a mirror image a left lung is a right lung.

OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def counterparts(name: str) -> Iterator[str]:
    """What the class of the other side would be called, by every spelling of a side that the name may hold.

    >>> list(counterparts("left_lung")), list(counterparts("clavicle_r")), list(counterparts("heart"))
    (['right_lung'], ['clavicle_l'], [])
    """
    words = re.sub("left|right", lambda found: OTHER[found[0]], name)
    letters = re.sub("^[lr](?=_)|(?<=_)[lr]$", lambda found: OTHER[found[0]], name)
    yield from (other for other in (words, letters) if other != name)


def pairs_by_name(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Classes whose names differ in the side only: left_x and right_x, x_left and x_right, l_x and r_x, x_l and x_r."""
    places = {name: place for place, name in enumerate(classes)}
    return [(name, other) for name in classes for other in counterparts(name) if places.get(other, -1) > places[name]]


def lone_sides(classes: Sequence[str]) -> list[str]:
    """Classes called left or right whose counterpart is no class; a lone letter l or r may mean anything."""
    return [
        name
        for name in classes
        if {"left", "right"} & set(name.split("_")) and not set(counterparts(name)) & set(classes)
    ]


def swapped_order(classes: Sequence[str], pairs: Sequence[Sequence[str]]) -> list[int]:
    """Which channel comes to each channel's place in a mirrored mask; raises ValueError for impossible pairs."""
    named = [name for pair in pairs for name in pair]
    if any(len(pair) != 2 for pair in pairs) or len(set(named)) != len(named) or not set(named) <= set(classes):
        raise ValueError(
            f"pairs must be lists of two classes each, no class twice, out of {', '.join(classes) or 'none'}; "
            f"found {[list(pair) for pair in pairs]}"
        )
    partner = {a: b for a, b in pairs} | {b: a for a, b in pairs}
    return [list(classes).index(partner.get(name, name)) for name in classes]


# How files become the network's input: ``dicom``, ``raster`` and ``preprocess``.


class Dicom(Section):
    """How DICOM values become grey values (docs/dicom.md)."""

    voi: Literal["auto", "window", "lut", "percentile", "none"] = Field(
        "auto",
        description="auto: the file's VOI LUT or window, else percentiles; window or lut: that or quarantine; "
        "percentile: ignore the file's; none: the whole declared range",
    )
    window: int = Field(0, ge=0, description="which of several windows, counted from 0")
    frame: Literal["first", "middle"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="which of several frames: first, middle, or its number from 1; null: quarantine"
    )
    j2k_resolution: Literal["auto", "full"] = Field(
        "full",
        description="auto: decode JPEG 2000 at the lowest resolution that is not below preprocess.size; "
        "full: at its own",
    )


class Raster(Section):
    """How PNG, JPEG, TIFF, BMP and GIF files are read (docs/rasters.md)."""

    page: Annotated[int, Field(ge=1)] | None = Field(
        None, description="which page of a TIFF with several, from 1; null: quarantine"
    )
    jpeg_resolution: Literal["auto", "full"] = Field(
        "full",
        description="auto: decode JPEG at the lowest of 1/1, 1/2, 1/4, 1/8 that is not below preprocess.size; "
        "full: at its own",
    )


class Preprocess(Section):
    """From any picture to the network's input."""

    size: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] = Field(
        512, description="rows and columns of the network's input, a multiple of 32"
    )
    fit: Literal["letterbox", "stretch"] = Field(
        "letterbox", description="letterbox keeps the aspect ratio and pads; stretch does not"
    )
    percentiles: tuple[float, float] = Field(
        (0.5, 99.5), description="grey values that become black and white where the file prescribes no window"
    )
    dtype: Literal["uint8", "uint16"] = Field("uint8", description="precision of the stored images")
    transforms: list[MonaiTransform] = Field(
        [], description="MONAI intensity transforms applied after the fit to `image`, float32 in [0, 1]"
    )

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"must be two rising numbers in 0..100, not {value}")
        return value
