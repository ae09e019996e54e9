"""Masks and the report: ``predict`` and ``report``."""

from typing import Annotated, Literal

from pydantic import Field

from segpipe.config.section import Section


class Predict(Section):
    """How masks are made."""

    engine: Literal["auto", "torch", "compile", "onnxruntime", "openvino"] = Field(
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
    masks: Literal["files", "archive", "rle"] = Field(
        "files",
        description="where masks go: files, a PNG each in a folder per shard; archive, one tar of PNGs per shard; rle, "
        "one Parquet of run lengths per shard. The latter two spare shared file systems",
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
    threads: int = Field(2, ge=1, description="CPU threads of the engine")
    writers: int = Field(
        2, ge=1, description="threads that bring masks to the original size and write them; do not change the result"
    )


class Report(Section):
    """What the report says."""

    title: str = Field("segpipe report")
