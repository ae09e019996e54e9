"""JPEG: its header, and a decoder that refuses damage, for JPEG files, strips of TIFF and fragments of DICOM.

libjpeg only warns of damage and paints what is missing mid-grey. libjpeg-turbo through simplejpeg can be told to stop
at the first warning, but takes 8 bits only; what it does not take is checked here. Clauses are those of ITU-T T.81.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg

SOI, EOI, SOS, DRI, APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1
END_OF_IMAGE = b"\xff\xd9"
LOSSLESS, JPEG_LS = 0xC3, 0xF7
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {JPEG_LS}  # SOF0..15 but DHT, JPG, DAC; and SOF55
HUFFMAN_IN_TURN = (0xC0, 0xC1)  # baseline and extended
PROGRESSIVE = (0xC2, 0xCA)

# a scan's header: marker, length, number of components
SCAN = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
MAX_SCANS, MAX_SCANNED_PIXELS = 64, 2_000_000_000
"""Progressive writers make about ten scans; each goes over the whole picture, so that many are an attack."""

BLOCK = 8  # rows and columns of the cosine transform
SETTLED = 8  # pixels after which the last byte's bits are used up, so that zeros are read
FILLER = b"\x55\xa3\x3c\x96" * 64  # compressed data of any kind


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the compressed data of a JPEG or JPEG-LS picture (B.2.2; ISO/IEC 14495-1 C.2.2)."""

    frame: int  # the code of its SOFn marker
    rows: int
    columns: int
    bits: int
    components: int
    rows_at: int  # where the number of rows is written
    end: int  # where the end marker is, -1 if there is none
    restarts: bool  # has restart intervals
    predictor: int  # of lossless JPEG: which neighbours predict a pixel; 1 is the left one
    exif: bytes  # payload of the first Exif segment, empty where there is none


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """The header of the first picture; None where it is no JPEG, or damaged before the compressed data."""
    frame, restarts, exif = None, False, b""
    for marker, start, stop in _segments(data):
        if marker in FRAMES and frame is None and stop - start >= 6:
            frame = (marker, start)
        elif marker == DRI:
            restarts = True
        elif marker == APP1 and data.startswith(b"Exif\0\0", start) and not exif:
            exif = data[start:stop]
        elif marker == SOS and frame is not None and stop - start >= 4:
            bits, rows, columns, components = struct.unpack_from(">BHHB", data, frame[1])
            end, predictor = data.find(END_OF_IMAGE, stop), data[stop - 3]
            return JpegHeader(frame[0], rows, columns, bits, components, frame[1] + 1, end, restarts, predictor, exif)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the payload of each segment up to the first scan, or to where the file is damaged."""
    at, marker = 2, SOI if data.startswith(b"\xff\xd8") else EOI
    while marker not in (EOI, SOS) and at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte (B.1.1.2)
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            return
        yield marker, at + 4, at + 2 + length
        at += 2 + length


def check_scans(data: bytes, header: JpegHeader) -> str:
    """Why a picture has too many scans to be decoded, or nothing."""
    scans = sum(1 for _ in SCAN.finditer(data))
    if scans > MAX_SCANS:
        return f"more than {MAX_SCANS} scans, which no writer makes"
    if scans * header.rows * header.columns > MAX_SCANNED_PIXELS:
        return f"{scans} scans over {header.rows} x {header.columns} pixels"
    return ""


def decode_grey(data: bytes, header: JpegHeader, fraction: int = 1) -> np.ndarray:
    """Grey samples, of colour the luma: (rows / fraction, columns / fraction), uint8, or uint16 above 8 bits.

    ``fraction`` is 1, 2, 4 or 8, and divides both sides; it is 1 unless :func:`is_strict`. Scaled samples lie at the
    centres of the squares that they stand for, so that nothing is shifted. Raises ValueError, or what the decoder
    raises, for damage that it or the amount of data shows.
    """
    if is_strict(data, header):
        least = header.rows // fraction, header.columns // fraction
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY", min_height=least[0], min_width=least[1]))[..., 0]
    checked = header.frame in (*HUFFMAN_IN_TURN, LOSSLESS) and not header.restarts and header.components == 1
    return _decode_in_step(data, header) if checked else _decode(data)


def is_strict(data: bytes, header: JpegHeader) -> bool:
    """Whether the decoder is the one that stops at warnings, and scales: for 8 bits, with losses, usual subsampling."""
    try:
        return header.bits == 8 and header.frame != LOSSLESS and bool(simplejpeg.decode_jpeg_header(data, strict=False))
    except ValueError:
        return False


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE"))


def _decode_in_step(data: bytes, header: JpegHeader) -> np.ndarray:
    """Decode, and raise ValueError for data that are too short or too long for the picture.

    A damaged Huffman code makes the decoder lose step, so that it reaches the end of the data before or after the
    end of the picture. To see that, the picture is decoded as if it were some rows taller: of those, the decoder makes
    the first from the last few bits and zeros, and all the others mid-grey, if it arrives in step.
    """
    lossless = header.frame == LOSSLESS
    body = header.rows if lossless else -(-header.rows // BLOCK) * BLOCK
    extra = 2 if lossless else BLOCK
    if body + extra >= 2**16:
        return _decode(data)
    at, middle = header.rows_at, 1 << (header.bits - 1)
    taller = _decode(data[:at] + (body + extra).to_bytes(2, "big") + data[at + 2 :])
    if taller.shape != (body + extra, header.columns):
        raise ValueError("another size")
    picture, tail = taller[: header.rows], taller[body:]
    if _goes_on(tail, middle, header):
        raise ValueError("data behind the picture")
    if (tail[:, :BLOCK] == middle).all():  # of a picture that needs no more data, more change nothing
        longer = _decode(data[: header.end] + FILLER + data[header.end :])
        if not np.array_equal(longer, picture):
            raise ValueError("data end before the picture")
    return picture


def _goes_on(tail: np.ndarray, middle: int, header: JpegHeader) -> bool:
    """Whether there was still data for the rows that do not exist.

    Zeros read as lossless data are the same difference over and over, so with the left neighbour as predictor
    the row is a ramp.
    """
    if header.frame != LOSSLESS:
        return bool((tail[:, 2 * BLOCK :] != middle).any())
    steps = np.diff(tail[0, SETTLED:])
    ramp = header.predictor != 1 or steps.size == 0 or bool((steps == steps[0]).all())
    return not ramp or bool((tail[1] != middle).any())
