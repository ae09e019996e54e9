"""A codestream against the header that it comes with: refused, reconciled and noted, or equal (PS3.5 8.2)."""

import numpy as np

from segpipe.errors import ImageError
from segpipe.io.dicom.accept import Picture
from segpipe.io.dicom.codestream import Codestream, is_complete, parse
from segpipe.io.dicom.header import Header, name_of
from segpipe.io.dicom.words import Words
from segpipe.io.source import check_size


def check_codestream(header: Header, frame: bytes, picture: Picture, family: str) -> Codestream:
    """Refuse a codestream that is cut off or contradicts the header before a decoder allocates, hangs or fills up."""
    name = name_of(header.transfer_syntax)
    codestream = parse(frame)
    if codestream is None or codestream.family != family:
        what = f", but {codestream.family}" if codestream else ""
        raise ImageError(f"has pixel data that are not {name}{what}; export it again")
    if not is_complete(frame, codestream):
        raise ImageError(f"has {name} pixel data without a proper end marker: they are cut off; copy it again")
    # OpenJPEG holds four bytes for each pixel, beside the picture that it returns
    check_size(codestream.rows, codestream.columns, 3 if codestream.family == "JPEG 2000" else 1)
    if (codestream.rows, codestream.columns) != (picture.rows, picture.columns):
        raise ImageError(
            f"declares {picture.rows} x {picture.columns} pixels, but its compressed picture has "
            f"{codestream.rows} x {codestream.columns}; export it again"
        )
    if codestream.components != 1:
        raise ImageError(
            f"declares one sample per pixel, but its compressed picture has {codestream.components}; export it again"
        )
    _check_bits(header, codestream, picture.words)
    return codestream


def to_words(values: np.ndarray, codestream: Codestream, words: Words) -> np.ndarray:
    """Decoded values as stored words.

    Where only the header says that values are signed, the codestream holds them as two's complement in its own
    bits, and in the reverse case its bits are taken as they are: both as pydicom does. Raises ImageError
    where the values need more bits than are declared.
    """
    bits = codestream.bits
    if codestream.signed and not words.signed:
        values = values & values.dtype.type((1 << bits) - 1 if bits < 8 * values.dtype.itemsize else -1)
        values = values.view(f"u{values.dtype.itemsize}")
    elif words.signed and not codestream.signed and bits != words.stored:
        sign = 1 << (bits - 1)
        values = (values.astype(np.int32) ^ sign) - sign
    if bits > words.stored:
        low, high = words.range
        if values.min() < low or values.max() > high:
            raise ImageError(
                f"declares {words.stored} bits stored, but the values of its compressed picture need more; "
                "export it again"
            )
    return values.astype(f"u{words.allocated // 8}", copy=False)


def _check_bits(header: Header, codestream: Codestream, words: Words) -> None:
    """Bits and sign of the codestream against the header's (PS3.5 8.2): what can be reconciled is noted."""
    bits, signed = codestream.bits, codestream.signed
    # JPEG has no sign, so a narrower one does not show where the sign bit is
    if not 1 <= bits <= words.allocated or (codestream.family == "JPEG" and words.signed and bits < words.stored):
        raise ImageError(
            f"declares {words.stored} bits stored in {words.allocated}{', signed' if words.signed else ''}, but its "
            f"compressed picture has {bits} bits; export it again"
        )
    if bits != words.stored:
        header.note(f"codestream_bits:{bits}")
    if codestream.family == "JPEG 2000" and signed != words.signed:
        header.note(f"codestream_sign:{'signed' if signed else 'unsigned'}")
