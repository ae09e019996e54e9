"""Grey values of DICOM as one look-up table over all stored words: Modality LUT, then VOI LUT or window.

A radiograph has at most 16 bits allocated, so that everything between the stored word and the displayed value (masking
of unused bits, sign, Modality LUT, VOI LUT, polarity) is a function of at most 65 536 arguments. It is composed
exactly, in float64, and applied to the picture once. Clauses are those of DICOM PS3.3 where no other part is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.dicom.header import Header

NARROWER_WHITES = {2**bits - 1 for bits in range(8, 15)}


@dataclass(frozen=True)
class Lut:
    """A table over consecutive inputs, from LUT Descriptor and LUT Data (C.11.1.1.1, C.11.2.1.1)."""

    first: float  # the input that the first entry belongs to
    entries: np.ndarray  # float64
    maximum: float  # largest output that the declared bits allow

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Inputs before the first entry get the first, after the last the last one."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[index])


def read_lut(header: Header, item: Any, signed: bool) -> Lut | None:
    """Return the table of a Modality or VOI LUT Sequence's item; None where descriptor and data do not fit each other.

    ``signed`` says whether the inputs can be negative: the descriptor's value representation is often wrong,
    so that the first input's sign is taken from the inputs, as the clauses demand.
    """
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data = item.LUTData
        big = header.dataset.original_encoding[1] is False
    except Exception:
        return None
    count = count % 65536 or 65536
    entries = _entries(data, count, bits, big)
    if entries is None or not 8 <= bits <= 16:
        return None
    if signed and first >= 32768:
        first -= 65536
    elif not signed and first < 0:
        first += 65536
    maximum = float(2**bits - 1)
    if entries.max() > maximum:
        header.note("lut_beyond_declared_bits")
        maximum = float(entries.max())
    return Lut(float(first), entries, maximum)


def _entries(data: Any, count: int, bits: int, big: bool) -> np.ndarray | None:
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


@dataclass(frozen=True)
class Greys:
    """A value for every stored word, the range these values can take, and where they come from."""

    values: np.ndarray  # float64, (2 ** allocated,)
    range: tuple[float, float]
    source: str


def padding_words(header: Header, stored: np.ndarray, signed: bool) -> np.ndarray | None:
    """Which words are padding: Pixel Padding Value, or all up to the Range Limit (C.7.5.1.1.2); None if undefined.

    ``stored`` is the stored value of every word, as :meth:`Words.values` returns it.
    """
    value, limit = (_stored(header.number(f"PixelPadding{which}"), signed) for which in ("Value", "RangeLimit"))
    if value is None:
        return None
    low, high = sorted((value, value if limit is None else limit))
    padding: np.ndarray = (stored >= low) & (stored <= high)
    return padding if padding.any() and not padding.all() else None


def _stored(number: float | None, signed: bool) -> float | None:
    """The 16 bits of a number read with the pixels' sign: files state 63536 for -2000, and the reverse."""
    if number is None or not -32768 <= number <= 65535:
        return None
    bits = int(number) & 0xFFFF
    return float(bits - 65536 if signed and bits >= 32768 else bits)


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


def apply_voi(header: Header, greys: Greys, policy: Dicom) -> Greys | None:
    """The file's VOI LUT or window as the policy wants it, with values in 0..1; None for neither (C.11.2).

    Raises ImageError where the policy demands one that the file does not have.
    """
    if policy.voi in ("percentile", "none"):
        return None
    for found in _candidates(header, greys, policy):
        if found is not None and np.ptp(found.values) > 0:
            return found
        if found is not None:
            header.note("voi_constant_ignored")
    if policy.voi == "auto":
        return None
    what = "VOI LUT" if policy.voi == "lut" else "window"
    raise ImageError(
        f"has no usable {what} number {policy.window}, which dicom.voi: {policy.voi} demands; "
        "set dicom.voi to auto or percentile to use it all the same"
    )


def _candidates(header: Header, greys: Greys, policy: Dicom) -> Iterator[Greys | None]:
    """What the policy allows, best first."""
    if policy.voi in ("auto", "lut"):
        yield _voi_lut(header, greys, policy.window)
    if policy.voi in ("auto", "window"):
        yield _voi_window(header, greys, policy.window)


def _voi_lut(header: Header, greys: Greys, number: int) -> Greys | None:
    """VOI LUT Sequence, its output scaled to 0..1 (C.11.2.1.1)."""
    items = header.get("VOILUTSequence")
    if items is None or number >= len(items):
        return None
    table = read_lut(header, items[number], signed=greys.range[0] < 0)
    if table is None:
        header.note("voi_lut_damaged")
        return None
    return Greys(table.look_up(greys.values) / _white(header, table), (0.0, 1.0), "lut")


def _white(header: Header, table: Lut) -> float:
    """The output that is white: the largest that the declared bits allow.

    Some files declare 16 bits for entries of 8 to 14: at a sixteenth of the brightness, say, hardly any greys are
    left. Entries that end at just 255, 1023, 4095 or the like, far below, are taken to be such.
    """
    largest = int(table.entries.max())
    if largest in NARROWER_WHITES and 4 * largest < table.maximum:
        header.note("lut_below_declared_bits")
        return float(largest)
    return table.maximum


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
