"""How files become the network's input: ``dicom``, ``raster`` and ``preprocess``."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from segpipe.config.section import MonaiTransform, Section


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
