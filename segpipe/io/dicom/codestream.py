"""What a compressed picture says of itself, read before any decoder runs.

JPEG (ISO/IEC 10918-1), JPEG-LS (14495-1) and JPEG 2000 (15444-1, with 15444-15 for high throughput).
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["JPEG", "JPEG-LS", "JPEG 2000"]

JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
DEFINE_RESTARTS, START_OF_SCAN = b"\xff\xdd\0\x04", b"\xff\xda"
END_OF_IMAGE = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
FRAMES_WITHOUT_TABLES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 but DHT, JPG, DAC
LOSSLESS_FRAME, JPEG_LS_FRAME = 0xC3, 0xF7


@dataclass(frozen=True)
class Codestream:
    """The header of a codestream. ``levels`` and ``origin`` are those of JPEG 2000."""

    family: Family
    rows: int
    columns: int
    bits: int
    signed: bool = False  # JPEG and JPEG-LS cannot say
    components: int = 1
    process: int = 0  # JPEG: n of its SOFn
    rows_at: int = 0  # JPEG: where the number of rows is written
    restarts: bool = False  # JPEG: has restart intervals
    predictor: int = 0  # JPEG lossless: which neighbours predict a pixel; 1 is the left one
    levels: int = 0  # wavelet decompositions, so lower resolutions that it holds
    origin: bool = True  # the picture and its tiles start at 0, 0, and no component is subsampled


def parse(frame: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS or JPEG 2000 codestream; None if it is none of these or damaged."""
    if frame.startswith(JPEG_2000_START):
        return _parse_jpeg_2000(frame)
    return _parse_jpeg(frame) if frame.startswith(b"\xff\xd8") else None


def is_complete(frame: bytes, codestream: Codestream) -> bool:
    """Whether the codestream ends as it should; trailing zeros are padding.

    Of JPEG 2000 the parts also have to have the lengths that they state (A.4.2), as its decoders fill up in silence.
    """
    end = frame.rstrip(b"\0")
    if END_OF_IMAGE not in end[-16:]:
        return False
    return codestream.family != "JPEG 2000" or _parts_are_whole(frame)


def _parse_jpeg(frame: bytes) -> Codestream | None:
    """Look for the start of frame (10918-1 B.2.2; 14495-1 C.2.2 has the same layout)."""
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == JPEG_LS_FRAME or marker in FRAMES_WITHOUT_TABLES:
            return Codestream(
                family="JPEG-LS" if marker == JPEG_LS_FRAME else "JPEG",
                rows=_number(frame, at + 5, 2),
                columns=_number(frame, at + 7, 2),
                bits=frame[at + 4],
                components=frame[at + 9],
                process=marker & 0x0F,
                rows_at=at + 5,
                restarts=DEFINE_RESTARTS in frame[: frame.find(START_OF_SCAN, at) + 1],
                predictor=_number(frame, frame.find(START_OF_SCAN, at) + 7, 1) if marker == LOSSLESS_FRAME else 0,
            )
        else:
            at += 2 + _number(frame, at + 2, 2)
    return None


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
