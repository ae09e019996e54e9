"""What the words of DICOM pixel data mean: bits, sign and padding (PS3.3 C.7.6.3.1, PS3.5 8.1.1)."""

from dataclasses import dataclass

import numpy as np

from segpipe.images.dicom.header import Header


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
