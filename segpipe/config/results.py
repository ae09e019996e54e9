"""Masks, scores, flags and the report: ``predict``, ``score``, ``checks``, ``report``."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from segpipe.config.data import ClassName, Section

# What makes an image worth a look.


class Checks(Section):
    """What makes an image worth a look: flags in the report, which change no pixel and no score (docs/checks.md)."""

    near_duplicates: int = Field(
        60,
        ge=0,
        le=128,
        description="largest number of different bits, of 256, in the perceptual hashes of near duplicates; "
        "0: look for exact duplicates only",
    )
    near_duplicate_fit: float = Field(
        0.99, ge=0, le=1, description="smallest R2 of one thumbnail fitted to the other that makes them near duplicates"
    )
    polarity: float = Field(
        0.15, ge=0, description="flag polarity where polarity_score is below minus this: the picture looks inverted"
    )
    orientation: float = Field(
        0.2,
        gt=0,
        description="flag orientation where, turned or mirrored, the thumbnail correlates better by this with the "
        "mean of all thumbnails",
    )
    flat: float = Field(0.9, gt=0, le=1, description="flag flat where one grey value fills this share of the picture")
    grey_levels: int = Field(
        16, ge=2, le=256, description="flag few_grey_levels where the picture has fewer of 256, as a mask would"
    )
    clipped: float = Field(
        0.25,
        gt=0,
        le=1,
        description="flag clipped where this share within the field has the darkest or brightest value",
    )
    aspect_ratio: float = Field(
        4.0, ge=1, description="flag aspect_ratio where the longer side is this many times the other"
    )
    tiny: float = Field(0.5, ge=0, description="flag tiny where the longer side is below this times preprocess.size")
    mask_full: float = Field(
        0.9, gt=0, le=1, description="flag mask_full where a class covers this share of the picture"
    )
    mask_outside: float = Field(
        0.05,
        ge=0,
        le=1,
        description="flag mask_outside where more than this share of a mask lies beyond the picture or field",
    )
    mask_area: float = Field(
        6.0, gt=0, description="flag mask_area where the robust z score of a class's area exceeds this"
    )

    def of_duplicates(self) -> "Checks":
        """The keys that decide on duplicates, the others at their defaults: what can stop a run before training."""
        return Checks(near_duplicates=self.near_duplicates, near_duplicate_fit=self.near_duplicate_fit)


# Masks, scores and the report: ``predict``, ``score`` and ``report``.


class Predict(Section):
    """How masks are made."""

    engine: Literal["auto", "torch", "compile", "openvino"] = Field(
        "auto",
        description="what computes the networks (docs/engines.md); auto: on a CPU the fastest that is installed where "
        "the run is scanned, in all shards; torch on CUDA",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 or float16 autocast on CUDA, float32 on a CPU; others only if asked for"
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="images at a time; does not change the result; auto: as many as fit into a GPU's memory, 4 on a "
        "CPU",
    )
    threshold: float = Field(0.5, gt=0, lt=1)
    form: Literal["auto", "labels", "per_class"] = Field(
        "auto", description="auto: one 0/255 picture for one class, else in the form of the reference masks"
    )
    masks: Literal["files", "rle"] = Field(
        "files",
        description="what masks are kept as: files, a PNG each in a folder per shard; rle, one Parquet file of run "
        "lengths per shard, which spares shared file systems",
    )
    probabilities: Literal["none", "uint8", "float16"] = Field(
        "none", description="also keep each pixel's probability, in the network's square"
    )
    inferer: Literal["whole", "sliding_window"] = Field(
        "whole", description="MONAI SimpleInferer, or SlidingWindowInferer for inputs too large for memory"
    )
    mirror: bool = Field(
        False,
        description="also predict the mirrored picture, mirror that back, and take the mean; left and right classes "
        "change places",
    )
    smallest_island: float = Field(
        0.0,
        ge=0,
        le=1,
        description="remove pieces of a class that are smaller than this share of its largest piece; 0: keep all",
    )
    fill_holes: bool = Field(False, description="fill holes in each class's mask")
    device: Literal["auto", "cpu", "cuda"] = Field("auto")


Tolerance = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Score(Section):
    """What is measured beside the counts of pixels (docs/metrics.md)."""

    surface: bool = Field(True, description="distances between contours: HD95, ASSD, NSD")
    tolerances_px: list[Tolerance] = Field([2], description="NSD: distances in pixels that are near enough")
    tolerances_mm: list[Tolerance] = Field(
        [2], description="NSD: distances in mm that are near enough, for images whose spacing is known"
    )
    boundary_iou: bool = Field(True, description="IoU of the rims of the masks")
    boundary_width: float = Field(
        0.02, gt=0, le=1, description="boundary IoU: width of a rim as a share of the image's diagonal"
    )
    calibration: bool = Field(
        True, description="Brier score and expected calibration error, where predict.probabilities keeps them"
    )
    components: bool = Field(True, description="numbers of pieces of each class in the reference")

    @field_validator("tolerances_px", "tolerances_mm")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        named = [f"{value:g}" for value in values]
        if len(set(named)) < len(named):
            raise ValueError(f"{values}: two of them would have the same column; name each tolerance once")
        return values


class Report(Section):
    """What the report says."""

    title: str = Field("segpipe report")
    language: Literal["en", "zh"] = Field("en", description="of report.html as it opens; the page can change it")
    cases: int = Field(
        24, ge=0, le=200, description="pictures in report.html of each kind: worst, best, drawn at random with seed"
    )
    by: list[str] = Field(
        ["fold", "site"],
        description="columns of report.csv, those of the sample sheet included, whose groups get scores of their own "
        "in groups.csv; a+b stands for each pair of a and b",
    )
    bands: dict[str, list[float]] = Field(
        {},
        description="where the bands of a column of numbers begin, as {age: [18, 40, 65]}; others are cut at their "
        "quartiles",
    )

    @field_validator("bands")
    @classmethod
    def _rising(cls, bands: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, edges in bands.items():
            if not edges or any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"{name}: {edges}; give numbers that rise, as [18, 40, 65]")
        return bands

    @model_validator(mode="after")
    def _bands_are_of_what_is_grouped(self) -> "Report":
        grouped = {part for name in self.by for part in name.split("+")}
        lone = sorted(set(self.bands) - grouped)
        if lone:
            raise ValueError(f"bands: {', '.join(lone)} is not among report.by ({', '.join(self.by)}); add it there")
        return self


class Code(Section):
    """What a class is in a terminology, as SNOMED CT (SCT)."""

    value: str = Field(pattern=r"^[^\\\s]{1,16}$", description='the code, in quotes: "39607008"')
    scheme: str = Field("SCT", pattern=r"^[^\\\s]{1,16}$", description="DICOM's name of the terminology")
    meaning: str = Field(pattern=r"^[^\\\x00-\x1f]{1,64}$", description="the code in words")
    category: Literal[
        "anatomical structure", "tissue", "physical object", "morphologically abnormal structure", "body substance"
    ] = Field("anatomical structure", description="what kind of thing it is")


class Export(Section):
    """What `segpipe export-masks` says of the masks (docs/export-masks.md); it decides nothing in a run."""

    codes: dict[ClassName, Code] = Field(
        {},
        description='codes of classes for DICOM SEG, as {lung: {value: "39607008", meaning: Lung structure}}; a class '
        "without has a private code with its name",
    )
