"""Grey values of DICOM as one look-up table over all stored words.

A radiograph has at most 16 bits allocated, so that everything between the stored word and the
displayed value (masking of unused bits, sign, Modality LUT, VOI LUT, polarity) is a function of at
most 65 536 arguments. It is composed exactly, in float64, and applied to the picture once.
Clauses are those of DICOM PS3.3 where no other part is named.
"""

from dataclasses import dataclass

import numpy as np

from segpipe.errors import ImageError
from segpipe.io.dicom.header import Header
from segpipe.io.dicom.lut import read_lut


@dataclass(frozen=True)
class Greys:
    """A value for every stored word, the range these values can take, and where they come from."""

    values: np.ndarray  # float64, (2 ** allocated,)
    range: tuple[float, float]
    source: str


def apply_modality_lut(header: Header, stored: np.ndarray, range_: tuple[float, float]) -> Greys:
    """Modality LUT Sequence, else Rescale Slope and Intercept, else nothing (C.11.1.1); empty counts as absent."""
    items = header.get("ModalityLUTSequence")
    if items is not None:
        table = read_lut(header, items[0], signed=range_[0] < 0)
        if table is None:
            raise ImageError("has a Modality LUT that is damaged, so its grey values are unknown; export it again")
        return Greys(table.look_up(stored), (0.0, table.maximum), "sequence")
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    if slope is None and intercept is None:
        return Greys(stored, range_, "none")
    if slope == 0:
        header.note("rescale_slope_zero")
        return Greys(stored, range_, "none")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    low, high = sorted(slope * end + intercept for end in range_)
    if not _distinct_in_float32(slope, max(abs(low), abs(high))):
        raise ImageError("has a Rescale Slope and Intercept under which grey values coincide; export it again")
    return Greys(slope * stored + intercept, (low, high), "rescale")


def _distinct_in_float32(step: float, largest: float) -> bool:
    """Whether neighbouring values stay apart in the float32 that they may be stored in."""
    with np.errstate(over="ignore"):
        spacing = np.spacing(np.float32(largest))  # NaN for what is too large
    return bool(spacing < abs(step))
