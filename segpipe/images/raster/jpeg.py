"""JPEG to grey samples, upright, at full size or at a fraction of it; its structure is read before it is decoded."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import imagecodecs
import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.raster.grey import Raster
from segpipe.images.types import Target

# A JPEG's frame header and structure, read without decoding.
#
# libjpeg only warns of damage and fills the rest of the picture with grey. What can be told from the markers is
# checked here instead: every segment is whole, nothing but restart markers interrupts the compressed data,
# those count up as they should, and the file has its end. Clauses are those of ITU-T T.81.

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


# JPEG to grey samples, upright, at full size or at a fraction of it.

ORIENTATION_TAG = 274
FILLER = b"\x55\xa3\x3c\x96" * 64  # compressed data of any kind

# EXIF orientation -> what brings row 0 to the top and column 0 to the left (Exif 2.32, 4.6.4 A)
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}
SIDEWAYS = (5, 6, 7, 8)  # these swap rows and columns


def decode_jpeg(data: bytes, target: Target | None = None) -> Raster:
    """Decode a JPEG upright; of YCbCr the Y, which is Rec. 601 luma already (JFIF 1.02).

    ``target`` allows a fraction of the size. Raises ImageError for damage that markers or decoder show, and for
    printing colours. A changed bit inside the compressed data is mostly a valid picture, so it cannot be seen.
    """
    jpeg = parse(data)
    orientation = _orientation(jpeg.exif)
    shape = (jpeg.rows, jpeg.columns)
    shape = shape[::-1] if orientation in SIDEWAYS else shape
    fraction = 1 if target is None or jpeg.bits != 8 or jpeg.kind == "lossless" else fraction_for(shape, target(shape))
    samples = _decode(data, jpeg, fraction)
    notes = [] if jpeg.colour == "grey" else ["colour_to_grey"]
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"exif_orientation:{orientation}")
    return Raster(samples, jpeg.bits, jpeg.colour, notes=tuple(notes), decoded_at=fraction, shape=shape)


def fraction_for(shape: tuple[int, int], target: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 by which a picture of ``shape`` can be divided without falling below ``target``.

    Only divisors of both sides are taken: a decoder rounds a size up, and the picture would cover more than it says.
    """
    for fraction in (8, 4, 2):
        if all(full % fraction == 0 and full // fraction >= least for full, least in zip(shape, target, strict=True)):
            return fraction
    return 1


def _decode(data: bytes, jpeg: Jpeg, fraction: int) -> np.ndarray:
    """Grey samples of shape (rows / fraction, columns / fraction), uint8, or uint16 of more than 8 bits.

    Scaled samples lie at the centres of the squares that they stand for, so that nothing is shifted.
    """
    try:
        samples = _decode_whole(data, jpeg) if fraction == 1 else _decode_scaled(data, jpeg, fraction)
    except (imagecodecs.Jpeg8Error, ValueError, OSError):
        raise ImageError("is a JPEG whose compressed pixels are damaged; copy or export it again") from None
    if samples.shape != (jpeg.rows // fraction, jpeg.columns // fraction) or (samples.dtype == np.uint8) != (
        jpeg.bits <= 8
    ):
        raise ImageError("is a JPEG that does not decode to the size it declares; copy or export it again")
    return samples


def _decode_whole(data: bytes, jpeg: Jpeg) -> np.ndarray:
    """Decode at full size; raises ImageError where the data end before the picture does, although marked as ended.

    libjpeg paints what is missing mid-grey. Decoded with a unit of rows more than there are, a whole picture leaves a
    few bits for the first pixels of these; where they are mid-grey too, the picture must not change with more data.
    """
    body = -(-jpeg.rows // max(1, jpeg.block_rows)) * jpeg.block_rows
    taller = body + jpeg.block_rows
    if not jpeg.block_rows or taller >= 2**16:
        return _grey(data)
    at, middle = jpeg.rows_at, 1 << (jpeg.bits - 1)
    samples = _grey(data[:at] + taller.to_bytes(2, "big") + data[at + 2 :])
    picture = samples[: jpeg.rows]
    if len(samples) == taller and (samples[body:, :8] == middle).all():
        longer = _grey(data[: jpeg.end] + FILLER + data[jpeg.end :])
        if not np.array_equal(longer, picture):
            raise ImageError("is a JPEG whose data end before the picture does; copy or export it again")
    return picture


def _grey(data: bytes) -> np.ndarray:
    return np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE"))


def _decode_scaled(data: bytes, jpeg: Jpeg, fraction: int) -> np.ndarray:
    """By Pillow, the one decoder here that scales and reports damage."""
    from PIL import Image

    with Image.open(BytesIO(data), formats=("JPEG",)) as image:
        image.draft("L", (jpeg.columns // fraction, jpeg.rows // fraction))
        return np.asarray(image)


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1..8; 1 where EXIF is absent or damaged."""
    if not exif:
        return 1
    from PIL import Image

    tags = Image.Exif()
    try:
        tags.load(exif)
        return int(tags.get(ORIENTATION_TAG, 1))
    except Exception:
        return 1
