"""A JPEG's frame header and structure, read without decoding.

libjpeg only warns of damage and fills the rest of the picture with grey. What can be told from the markers is
checked here instead: every segment is whole, nothing but restart markers interrupts the compressed data,
those count up as they should, and the file has its end. Clauses are those of ITU-T T.81.
"""

import struct
from dataclasses import dataclass, replace

import numpy as np

from segpipe.errors import ImageError
from segpipe.io.source import check_size

SOI, EOI, SOS, DRI, APP1, APP14, DNL = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1, 0xEE, 0xDC
FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless", 0xC9: "arithmetic"}
FRAMES |= {0xCA: "arithmetic progressive"}
OTHER_FRAMES = {0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
RST0, RST7 = 0xD0, 0xD7
MAX_SCANS, MAX_SCANNED_PIXELS = 64, 2_000_000_000
"""Progressive writers make about ten scans; each goes over the whole picture, so that many are an attack."""

CUT_OFF = "is a JPEG that ends too early, as an interrupted copy does; copy it again"
DAMAGED = "is a JPEG whose structure is damaged; copy or export it again"


@dataclass(frozen=True)
class Jpeg:
    """What the markers of the first picture say. ``colour``: grey, YCbCr, RGB or CMYK."""

    kind: str
    bits: int
    rows: int
    columns: int
    colour: str
    exif: bytes  # payload of the first Exif segment, empty where there is none
    rows_at: int = 0  # where the number of rows is written
    end: int = 0  # where the end marker is
    block_rows: int = 0  # rows that are coded together; 0 unless all are in one sequential scan without restarts


def parse(data: bytes) -> Jpeg:
    """Check the structure up to the end of the first picture; raises ImageError for what is damaged or not read."""
    frame, rows_at, exif, adobe, jfif = None, 0, b"", None, False
    at, scans, interval, last = 2, 0, 0, SOI
    markers = _markers(data)
    while True:
        marker, payload, at = _segment(data, at)
        if marker == EOI:
            break
        if marker in FRAMES or marker in OTHER_FRAMES:
            if frame is not None:
                raise ImageError(DAMAGED)
            frame, rows_at = (marker, payload), at - len(payload) + 1
        elif marker == APP1 and payload.startswith(b"Exif\0\0") and not exif:
            exif = payload
        elif marker == 0xE0 and payload.startswith(b"JFIF\0"):
            jfif = True
        elif marker == APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
            adobe = payload[11]
        elif marker == DRI and len(payload) >= 2:
            interval = int.from_bytes(payload[:2], "big")
        elif marker == SOS:
            scans += 1
            at = _skip_scan(markers, at, interval)
            if scans > MAX_SCANS:
                raise ImageError(f"is a JPEG of more than {MAX_SCANS} scans, which no writer makes; export it again")
        last = marker
    if frame is None or scans == 0:
        raise ImageError(DAMAGED if last != SOI else "is a JPEG without a picture; copy or export it again")
    jpeg = _described(*frame, exif, adobe, jfif)
    if scans * jpeg.rows * jpeg.columns > MAX_SCANNED_PIXELS:
        raise ImageError(f"is a JPEG of {scans} scans over {jpeg.rows} x {jpeg.columns} pixels; export it again")
    plain = scans == 1 and not interval and jpeg.kind in ("baseline", "extended")
    return replace(jpeg, rows_at=rows_at, end=at - 2, block_rows=_block_rows(frame[1]) if plain else 0)


def _block_rows(header: bytes) -> int:
    """Rows of a coded unit: blocks of 8, as many as the vertical sampling factors say (A.2.3); of grey always one."""
    return 8 * max(factors & 15 for factors in header[7::3]) if header[5] > 1 else 8


def _segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The marker at ``at``, its payload, and where the next one starts (B.1.1.4); fill bytes are skipped."""
    if data[at : at + 1] not in (b"\xff", b""):
        raise ImageError(DAMAGED)
    while data[at : at + 2] == b"\xff\xff":
        at += 1
    if at + 2 > len(data):
        raise ImageError(CUT_OFF)
    marker = data[at + 1]
    if marker == EOI:
        return marker, b"", at + 2
    if marker < 0xC0 or RST0 <= marker <= SOI:
        raise ImageError(DAMAGED)
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if at + 2 + length > len(data) or at + 4 > len(data):
        raise ImageError(CUT_OFF)
    if length < 2:
        raise ImageError(DAMAGED)
    return marker, data[at + 4 : at + 2 + length], at + 2 + length


def _markers(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where a byte FF is followed by neither a stuffed zero nor another FF, and what follows it."""
    octets = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(octets[:-1] == 0xFF)
    codes = octets[at + 1]
    real = (codes != 0) & (codes != 0xFF)
    return at[real], codes[real]


def _skip_scan(markers: tuple[np.ndarray, np.ndarray], at: int, interval: int) -> int:
    """Where the compressed data that start at ``at`` end; restart markers must count 0..7 in turn (E.1.4)."""
    first = int(np.searchsorted(markers[0], at))
    codes = markers[1][first:]
    others = np.flatnonzero((codes < RST0) | (codes > RST7))
    if not others.size:
        raise ImageError(CUT_OFF)
    restarts = codes[: others[0]]
    if (restarts.size and not interval) or (restarts != RST0 + np.arange(restarts.size) % 8).any():
        raise ImageError(DAMAGED)
    return int(markers[0][first + others[0]])


def _described(marker: int, header: bytes, exif: bytes, adobe: int | None, jfif: bool) -> Jpeg:
    """Read the frame header (B.2.2), and refuse processes that are not decoded."""
    if marker in OTHER_FRAMES:
        raise ImageError("is a JPEG of a hierarchical or arithmetic lossless kind, which is not read; export it as PNG")
    if len(header) < 6 or len(header) != 6 + 3 * header[5]:
        raise ImageError(DAMAGED)
    bits, rows, columns, components = struct.unpack(">BHHB", header[:6])
    # a progressive picture's coefficients are held whole, two bytes each
    check_size(rows, columns, components * (2 if bits > 8 or "progressive" in FRAMES[marker] else 1))
    ids = header[6::3]
    if components == 3:
        by_ids = "RGB" if ids == b"RGB" else "YCbCr"
        colour = "YCbCr" if jfif else by_ids if adobe is None else "YCbCr" if adobe else "RGB"
    else:
        colour = {1: "grey", 4: "CMYK"}.get(components, "")
    if colour not in ("grey", "YCbCr", "RGB"):
        raise ImageError(
            f"is a JPEG of {components} colour channels, as made for printing; export it as grey with one channel"
        )
    return Jpeg(FRAMES[marker], bits, rows, columns, colour, exif)
