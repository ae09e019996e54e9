"""Grey values of DICOM as one look-up table over all stored words.

A radiograph has at most 16 bits allocated, so that everything between the stored word and the
displayed value (masking of unused bits, sign, Modality LUT, VOI LUT, polarity) is a function of at
most 65 536 arguments. It is composed here exactly, in float64, and applied to the picture once.
Clauses are those of DICOM PS3.3 where no other part is named.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.io.dicom_header import Header


@dataclass(frozen=True)
class Words:
    """How a stored value lies in its word (C.7.6.3.1, PS3.5 8.1.1)."""

    allocated: int  # 8 or 16
    stored: int
    high: int
    signed: bool

    @property
    def unused_mask(self) -> int:
        """The bits of a word that do not belong to the value."""
        used = ((1 << self.stored) - 1) << (self.high + 1 - self.stored)
        return ((1 << self.allocated) - 1) & ~used

    def values(self) -> np.ndarray:
        """The stored value of every word, float64, (2 ** allocated,)."""
        words = np.arange(1 << self.allocated)
        values = (words >> (self.high + 1 - self.stored)) & ((1 << self.stored) - 1)
        if self.signed:
            values = np.where(values >> (self.stored - 1), values - (1 << self.stored), values)
        return values.astype(np.float64)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and largest value that can be stored."""
        if self.signed:
            return -float(1 << (self.stored - 1)), float((1 << (self.stored - 1)) - 1)
        return 0.0, float((1 << self.stored) - 1)


@dataclass(frozen=True)
class Greys:
    """A value for every stored word, the range these values can take, and where they come from."""

    values: np.ndarray  # float64, (2 ** allocated,)
    range: tuple[float, float]
    source: str


def padding_words(header: Header, stored: np.ndarray) -> np.ndarray | None:
    """Which words are padding (C.7.5.1.1.2): Pixel Padding Value, or all up to the Range Limit; None if undefined."""
    value = header.number("PixelPaddingValue")
    if value is None:
        return None
    limit = header.number("PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    padding: np.ndarray = (stored >= low) & (stored <= high)
    return padding if padding.any() and not padding.all() else None


def apply_modality_lut(header: Header, stored: np.ndarray, range_: tuple[float, float]) -> Greys:
    """Modality LUT Sequence, else Rescale Slope and Intercept, else nothing (C.11.1.1); empty counts as absent."""
    items = header.get("ModalityLUTSequence")
    if items is not None:
        table = _read_lut(header, items[0], signed=range_[0] < 0)
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
    return Greys(slope * stored + intercept, (low, high), "rescale")


def apply_voi(header: Header, greys: Greys, policy: Dicom) -> Greys | None:
    """The file's VOI LUT or window as the policy wants it, with values in 0..1; None for neither (C.11.2).

    Raises ImageError where the policy demands one that the file does not have.
    """
    if policy.voi in ("percentile", "none"):
        return None
    found = None
    if policy.voi in ("auto", "lut"):
        found = _voi_lut(header, greys, policy.window)
    if found is None and policy.voi in ("auto", "window"):
        found = _voi_window(header, greys, policy.window)
    if found is None and policy.voi != "auto":
        what = "VOI LUT" if policy.voi == "lut" else "usable window"
        raise ImageError(
            f"has no {what} number {policy.window}, which dicom.voi: {policy.voi} demands; "
            "set dicom.voi to auto or percentile to use it all the same"
        )
    if found is not None and np.ptp(found.values) == 0:
        header.note("voi_constant_ignored")
        return None
    return found


def _voi_lut(header: Header, greys: Greys, number: int) -> Greys | None:
    """VOI LUT Sequence, its output scaled to 0..1 (C.11.2.1.1)."""
    items = header.get("VOILUTSequence")
    if items is None or number >= len(items):
        return None
    table = _read_lut(header, items[number], signed=greys.range[0] < 0)
    if table is None:
        header.note("voi_lut_damaged")
        return None
    return Greys(table.look_up(np.rint(greys.values)) / table.maximum, (0.0, 1.0), "lut")


def _voi_window(header: Header, greys: Greys, number: int) -> Greys | None:
    """Window Center and Width by VOI LUT Function (C.11.2.1.2 and C.11.2.1.3), 0..1."""
    centres, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    if not centres or not widths:
        return None
    if number >= min(len(centres), len(widths)):
        header.note(f"window_absent:{number}")
        return None
    centre, width = centres[number], widths[number]
    function = header.term("VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        header.note("voi_function_unknown")
        function = "LINEAR"
    if width <= 0 or (function == "LINEAR" and width < 1):
        header.note("window_width_invalid")
        return None
    values = window(greys.values, centre, width, function)
    return Greys(values, (0.0, 1.0), f"window {function} {centre:g}/{width:g}")


def window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Apply one window to float64 values; 0..1. ``function`` is LINEAR, LINEAR_EXACT or SIGMOID.

    >>> window(np.array([0.0, 2047.5, 4095.0]), 2048, 4096, "LINEAR")
    array([0. , 0.5, 1. ])
    """
    if function == "SIGMOID":  # C.11.2.1.3.1; the exponent is limited to what float64 holds
        scaled: np.ndarray = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
        return scaled
    if function == "LINEAR":  # C.11.2.1.2.1
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    return np.clip((values - centre) / width + 0.5, 0, 1)  # C.11.2.1.3.2


@dataclass(frozen=True)
class _Lut:
    first: float  # the input that the first entry belongs to
    entries: np.ndarray  # float64
    maximum: float  # largest output that the declared bits allow

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Inputs before the first entry get the first, after the last the last one (C.11.1.1.1)."""
        index = np.clip(values - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[index])


def _read_lut(header: Header, item: Any, signed: bool) -> _Lut | None:
    """LUT Descriptor and LUT Data of a sequence item (C.11.1.1.1); None where they do not fit each other."""
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data = item.LUTData
        big = header.dataset.original_encoding[1] is False
    except Exception:
        return None
    count = count % 65536 or 65536
    entries = _lut_entries(data, count, bits, big)
    if entries is None or not 8 <= bits <= 16:
        return None
    # the descriptor's VR is a matter of opinion, so the first input's sign is taken from the inputs
    if signed and first >= 32768:
        first -= 65536
    elif not signed and first < 0:
        first += 65536
    return _Lut(float(first), entries, max(float(2**bits - 1), float(entries.max())))


def _lut_entries(data: Any, count: int, bits: int, big: bool) -> np.ndarray | None:
    """The entries as float64: words, or for 8 bits also bytes, two in a word."""
    if not isinstance(data, (bytes, bytearray)):
        words = np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
        if len(words) == count:
            return words.astype(np.float64)
        data, big = words.astype("<u2").tobytes(), False
    if len(data) == 2 * count:
        return np.frombuffer(data, ">u2" if big else "<u2").astype(np.float64)
    if bits == 8 and len(data) == count + count % 2:
        swapped = np.frombuffer(data, ">u2").astype("<u2").tobytes() if big else data
        return np.frombuffer(swapped, np.uint8)[:count].astype(np.float64)
    return None
