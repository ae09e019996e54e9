"""Which images and masks there are, and how masks name classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from segpipe.config.section import Section

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
