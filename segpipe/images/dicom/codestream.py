"""What compressed pixel data say of themselves, held against the header before any decoder runs (PS3.5 8.2).

JPEG (ISO/IEC 10918-1), JPEG-LS (14495-1) and JPEG 2000 (15444-1, with 15444-15 for high throughput).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.dicom.accept import DicomImage, Words
from segpipe.images.dicom.header import Header, name_of
from segpipe.images.jpeg import END_OF_IMAGE, JPEG_LS, read_jpeg_header

Family = Literal["JPEG", "JPEG-LS", "JPEG 2000"]

JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ


@dataclass(frozen=True)
class Codestream:
    """The header of a codestream. ``levels`` and ``origin`` are those of JPEG 2000."""

    family: Family
    rows: int
    columns: int
    bits: int
    components: int
    signed: bool = False  # JPEG and JPEG-LS cannot say
    levels: int = 0  # wavelet decompositions, so lower resolutions that it holds
    origin: bool = True  # the picture and its tiles start at 0, 0, and no component is subsampled


def parse(frame: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS or JPEG 2000 codestream; None if it is none of these or damaged."""
    if frame.startswith(JPEG_2000_START):
        return _parse_jpeg_2000(frame)
    jpeg = read_jpeg_header(frame)
    if jpeg is None:
        return None
    family: Family = "JPEG-LS" if jpeg.frame == JPEG_LS else "JPEG"
    return Codestream(family, jpeg.rows, jpeg.columns, jpeg.bits, jpeg.components)


def is_complete(frame: bytes, codestream: Codestream) -> bool:
    """Whether the codestream ends as it should; trailing zeros are padding.

    Of JPEG 2000 the parts also have to have the lengths that they state (A.4.2), as its decoders fill up in silence.
    """
    end = frame.rstrip(b"\0")
    if END_OF_IMAGE not in end[-16:]:
        return False
    return codestream.family != "JPEG 2000" or _parts_are_whole(frame)


def _parse_jpeg_2000(frame: bytes) -> Codestream | None:
    """SIZ (15444-1 A.5.1) and the decomposition levels of COD and COC (A.6.1 and A.6.2) in the main header."""
    if len(frame) < 45:
        return None
    right, bottom, left, top, _, _, tiles_left, tiles_top = (_number(frame, at, 4) for at in range(8, 40, 4))
    bits, step = frame[42], (frame[43], frame[44])
    levels = _levels(frame)
    if levels is None:
        return None
    return Codestream(
        family="JPEG 2000",
        rows=bottom - top,
        columns=right - left,
        bits=(bits & 0x7F) + 1,
        signed=bits >= 0x80,
        components=_number(frame, 40, 2),
        levels=levels,
        origin=(left, top, tiles_left, tiles_top) == (0, 0, 0, 0) and step == (1, 1),
    )


def _levels(frame: bytes) -> int | None:
    """The fewest decomposition levels that the main header states; None if it is damaged or states none."""
    at, found = 2, []
    while at + 12 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], _number(frame, at + 2, 2)
        if marker == 0x52:  # COD
            found.append(frame[at + 9])
        elif marker == 0x53:  # COC; for fewer than 257 components
            found.append(frame[at + 6])
        elif marker in (0x90, 0xD9):  # SOT: the main header is over
            return min(found) if found else None
        at += 2 + length
    return None


def _parts_are_whole(frame: bytes) -> bool:
    """Follow the tile-parts by their stated lengths to the end marker; a length of 0 reaches to the end."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] not in (0x90, 0xD9):
        at += 2 + _number(frame, at + 2, 2)
    while frame[at : at + 2] == b"\xff\x90":  # SOT
        length = _number(frame, at + 6, 4)
        if length == 0:
            return True
        at += max(length, 14)
    return frame[at : at + 2] == END_OF_IMAGE


def _number(frame: bytes, at: int, size: int) -> int:
    return int.from_bytes(frame[at : at + size], "big")


def check_codestream(header: Header, frame: bytes, image: DicomImage, family: str) -> Codestream:
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
    if (codestream.rows, codestream.columns) != (image.rows, image.columns):
        raise ImageError(
            f"declares {image.rows} x {image.columns} pixels, but its compressed picture has "
            f"{codestream.rows} x {codestream.columns}; export it again"
        )
    if codestream.components != 1:
        raise ImageError(
            f"declares one sample per pixel, but its compressed picture has {codestream.components}; export it again"
        )
    _check_bits(header, codestream, image.words)
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
