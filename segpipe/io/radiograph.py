"""The radiograph as every later stage sees it, and the choice of a reader by content."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segpipe.config import Dicom, Raster
from segpipe.errors import ImageError
from segpipe.io.source import quiet, read_bytes, sniff

PLAUSIBLE_MM = (0.001, 10.0)
"""The spacings that are believed; others, as 0, count as unknown."""

Target = Callable[[tuple[int, int]], tuple[int, int]]
"""From a picture's size (rows, columns) to the size it will be shrunk to."""


@dataclass(frozen=True)
class Decisions:
    """What was found in a file and done to its pixels: one column of the store's table each.

    Only technical facts; never a name, date, identifier or free text of a header.
    """

    format: str  # DICOM, PNG, JPEG, TIFF, BMP, GIF, NIfTI
    bits_stored: int
    transfer_syntax: str = ""  # UID; empty for non-DICOM
    modality: str = ""  # DICOM Modality (0008,0060)
    photometric_interpretation: str = ""  # DICOM keyword's value, or the raster's colour type
    modality_lut: str = "none"  # none | rescale | sequence
    voi: str = "none"  # none | "window LINEAR 2048/4096" | lut
    frame: int | None = None  # the frame or page that was read, from 1, where the file has several
    decoded_at: int = 1  # 2, 4, 8: the picture was decoded at that fraction of its size
    inverted: bool = False
    invert_source: str = "none"  # none | PresentationLUTShape | PhotometricInterpretation | sheet
    burned_in_annotation: str = ""  # YES, NO, or "" where it is not said (0028,0301)
    recognizable_visual_features: str = ""  # the same: a face, say (0028,0302)
    spacing_row_mm: float | None = None  # distance between rows' centres
    spacing_column_mm: float | None = None
    spacing_source: str = "unknown"  # PixelSpacing | ImagerPixelSpacing | NIfTI | unknown ...
    notes: tuple[str, ...] = field(default=())  # short remarks, "key:value", in a fixed order


@dataclass(frozen=True)
class Radiograph:
    """A grey picture, bone bright, as it should be displayed up to a choice of window.

    ``pixels`` has shape (rows, columns), dtype uint8, uint16 or float32; row 0 is the top and
    column 0 the left of the picture as a viewer shows it. ``shape`` is that of the picture in the file: larger
    than that of ``pixels`` where it was decoded at half its size or less (``decisions.decoded_at``); the pixels
    then cover the same area. ``value_range`` is what the file declares
    the values can take (0..255 for an 8-bit PNG), not their extremes. ``display_range`` is set where
    the file prescribed a window or VOI LUT (it is then already applied and spans the output);
    ``None`` leaves the choice to :mod:`segpipe.preprocess.intensity`.

    ``patient_id`` is the file's Patient ID (0010,0020), "" where there is none. It serves to keep a patient's
    images in one fold and is hashed at once; it must reach no table, log or message.
    """

    pixels: np.ndarray
    value_range: tuple[float, float]
    display_range: tuple[float, float] | None
    decisions: Decisions
    shape: tuple[int, int] = (0, 0)  # of the pixels where not given
    patient_id: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.shape == (0, 0):
            rows, columns = self.pixels.shape
            object.__setattr__(self, "shape", (rows, columns))


def read_radiograph(
    source: Path | bytes,
    dicom: Dicom | None = None,
    invert: bool | None = None,
    raster: Raster | None = None,
    target: Target | None = None,
) -> Radiograph:
    """Read one radiograph from a file, or from bytes that were already read.

    ``dicom`` and ``raster`` are the configured policies (their defaults where ``None``). With ``target`` a picture
    may be decoded at a lower resolution that is not below it, where the policies allow that. ``invert`` is
    the sample sheet's word on polarity: ``True`` inverts the picture as stored, ``False`` does not, ``None``
    leaves it to the file. Everything that can be wrong with the file ends as an ImageError whose text does
    not name the path and quotes nothing of a header but the values listed in ``docs/dicom.md``.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    with quiet():
        try:
            return _dispatch(data, dicom or Dicom(), raster or Raster(), invert, target)
        except ImageError:
            raise
        except Exception as error:
            # `from None`, and no str(error): a decoder's message may quote the header
            raise ImageError(f"cannot be decoded ({type(error).__name__}); the file is damaged") from None


def _dispatch(data: bytes, dicom: Dicom, raster: Raster, invert: bool | None, target: Target | None) -> Radiograph:
    if not data:
        raise ImageError("is empty (0 bytes), probably an interrupted copy; copy it again")
    format_ = sniff(data)
    # readers are imported where needed: each costs up to 0.3 s, and most runs need one
    if format_ == "DICOM":
        from segpipe.io.dicom.read import read_dicom

        return read_dicom(data, dicom, invert, target)
    if format_ == "NIfTI":
        from segpipe.io.nifti import read_nifti

        return read_nifti(data, invert)
    from segpipe.io.raster.read import read_raster

    return read_raster(data, format_, raster, invert, target)
