"""Which images and masks there are, how masks name classes, and which classes have a side."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from segpipe.config.section import Section
from segpipe.errors import ConfigError

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
