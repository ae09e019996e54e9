"""Look-up tables that are elements of a DICOM file: LUT Descriptor and LUT Data (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from segpipe.io.dicom.header import Header


@dataclass(frozen=True)
class Lut:
    """A table over consecutive inputs."""

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
