"""Masks and the report: ``predict`` and ``report``."""

from typing import Literal

from pydantic import Field

from segpipe.config.section import Section


class Predict(Section):
    """How masks are made."""

    batch_size: int = Field(4, ge=1, description="images at a time; does not change the result")
    threshold: float = Field(0.5, gt=0, lt=1)
    masks: Literal["auto", "labels", "per_class"] = Field(
        "auto", description="auto: one 0/255 PNG for one class, else in the form of the reference masks"
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
    threads: int = Field(2, ge=1, description="CPU threads of torch")


class Report(Section):
    """What the report says."""

    title: str = Field("segpipe report")
