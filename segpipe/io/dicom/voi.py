"""The values of interest of a DICOM radiograph: VOI LUT or window (PS3.3 C.11.2)."""

from collections.abc import Iterator

import numpy as np

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.io.dicom.greys import Greys
from segpipe.io.dicom.header import Header
from segpipe.io.dicom.lut import Lut, read_lut

NARROWER_WHITES = {2**bits - 1 for bits in range(8, 15)}


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
