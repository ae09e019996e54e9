"""The radiograph as every later stage sees it, and the table of grey values that most of them go through."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

HAS_LUT_FOR_16_BITS = int(cv2.__version__.split(".")[0]) >= 5

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


def look_up(table: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return ``table[words]`` of shape (rows, columns) in the table's dtype.

    ``words`` is uint8 or uint16, ``table`` a number for each of the 256 or 65 536 words. Where every word is its
    own value the words themselves are returned, which may be read-only. OpenCV takes a third of numpy's time.
    """
    if table.dtype == words.dtype and np.array_equal(table, np.arange(len(table), dtype=table.dtype)):
        return words
    if words.dtype == np.uint8 or HAS_LUT_FOR_16_BITS:
        return cv2.LUT(words, table).reshape(words.shape)
    return np.take(table, words, mode="clip")  # faster than checking; the table has every word
