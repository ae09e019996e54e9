"""Compressed pixel data: what a codestream says of itself, held against the header, and what decodes it (PS3.5 8.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from struct import unpack_from
from typing import Literal

import numpy as np
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.dicom.accept import Picture
from segpipe.images.dicom.header import Header, name_of
from segpipe.images.dicom.words import Words

# What a compressed picture says of itself, read before any decoder runs.
#
# JPEG (ISO/IEC 10918-1), JPEG-LS (14495-1) and JPEG 2000 (15444-1, with 15444-15 for high throughput).

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


# A codestream against the header that it comes with: refused, reconciled and noted, or equal (PS3.5 8.2).


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


# The transfer syntaxes of single pictures and what decodes each: one table and a few small functions.
#
# A decoder takes a codestream and returns (rows, columns) of integers, or raises anything.

Decoder = Callable[[bytes], np.ndarray]

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def jpeg(frame: bytes) -> np.ndarray:
    """Every JPEG process, 2 to 16 bits, by libjpeg-turbo."""
    from imagecodecs import jpeg8_decode

    return np.asarray(jpeg8_decode(frame))


def jpeg_ls(frame: bytes) -> np.ndarray:
    """JPEG-LS, lossless or not, by CharLS."""
    from imagecodecs import jpegls_decode

    return np.asarray(jpegls_decode(frame))


def jpeg_2000(frame: bytes) -> np.ndarray:
    """JPEG 2000 of normal and high throughput, by OpenJPEG."""
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(frame, numthreads=1))  # images are decoded side by side already


def rle(frame: bytes, rows: int, columns: int, allocated: int) -> np.ndarray:
    """Run-length segments, one for each byte of a word, the high byte first (PS3.5 Annex G).

    Raises ValueError where they do not fill the picture.
    """
    import cv2
    from imagecodecs import packbits_decode

    count, pixels = allocated // 8, rows * columns
    if len(frame) < 64 or unpack_from("<I", frame)[0] != count:
        raise ValueError("number of segments")
    bounds = [*unpack_from(f"<{count}I", frame, 4), len(frame)]
    planes = []
    for start, end in pairwise(bounds):
        if not 64 <= start < end <= len(frame):
            raise ValueError("segment's offset")
        # into memory of our own, which is faster; padding at the segment's end may look like another byte or two
        plane = bytearray(pixels + 2)
        if len(packbits_decode(frame[start:end], out=plane)) < pixels:
            raise ValueError("segment is too short")
        planes.append(np.frombuffer(plane, np.uint8, pixels).reshape(rows, columns))
    words = planes[0] if count == 1 else np.asarray(cv2.merge(planes[::-1]))  # the low byte first, side by side
    return words.view(f"<u{count}").reshape(rows, columns)


@dataclass(frozen=True)
class Codec:
    """How a transfer syntax is decoded. ``module`` is the part of imagecodecs that has to be there."""

    family: str  # as of a Codestream, or RLE
    module: str
    decode: Decoder | None  # None: needs the picture's size, see `rle`
    package: str = "imagecodecs"


_JPEG = Codec("JPEG", "JPEG8", jpeg)
_JPEG_LS = Codec("JPEG-LS", "JPEGLS", jpeg_ls)
_JPEG_2000 = Codec("JPEG 2000", "JPEG2K", jpeg_2000)

CODECS: dict[str, Codec] = {
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    uid.JPEGLossless: _JPEG,
    uid.JPEGLosslessSV1: _JPEG,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _JPEG_2000,
    uid.HTJ2KLosslessRPCL: _JPEG_2000,
    uid.HTJ2K: _JPEG_2000,
    uid.RLELossless: Codec("RLE", "PACKBITS", None),
}


def is_installed(codec: Codec) -> bool:
    """Whether this installation's imagecodecs was built with the decoder."""
    try:
        import imagecodecs

        return bool(getattr(imagecodecs, codec.module).available)
    except (ImportError, AttributeError):
        return False


def decodable_transfer_syntaxes() -> dict[str, list[str]]:
    """Name of every transfer syntax that can be read now -> the packages that decode it."""
    native = {uid.UID(syntax).name: ["numpy"] for syntax in NATIVE}
    return native | {uid.UID(syntax).name: [codec.package] for syntax, codec in CODECS.items() if is_installed(codec)}


# Damage in JPEG data that its decoder passes over: it warns at most, and fills up what is missing with mid-grey.
#
# A damaged Huffman code makes the decoder lose step, so that it reaches the end of the data before or after the end of
# the picture. To see that, the picture is decoded as if it were some rows taller: of those, the decoder
# makes the first from the last few bits and zeros, and all the others mid-grey, if it arrives in step.

BLOCK = 8  # rows and columns of the cosine transform
SEQUENTIAL, LOSSLESS = (0, 1), 3  # n of SOFn, Huffman-coded
SETTLED = 8  # pixels after which the last byte's bits are used up, so that zeros are read
FILLER = b"\x55\xa3\x3c\x96" * 64  # any bits that are not all alike


def decode_jpeg(decode: Decoder, frame: bytes, codestream: Codestream) -> np.ndarray:
    """Decode and check; raises ImageError for data that are too short or too long for the picture.

    Progressive and arithmetic JPEG and JPEG with restart intervals, rare in DICOM, are decoded without this check.
    """
    rows, process = codestream.rows, codestream.process
    body = rows if process == LOSSLESS else -(-rows // BLOCK) * BLOCK
    extra = BLOCK if process in SEQUENTIAL else 2
    checked = process in (*SEQUENTIAL, LOSSLESS) and body + extra < 2**16 and not codestream.restarts
    if not checked:
        return decode(frame)
    taller = decode(_with_rows(frame, codestream, body + extra))
    if taller.shape != (body + extra, codestream.columns):
        return taller
    tail = taller[body:]
    middle = 1 << (codestream.bits - 1)
    if _goes_on(tail, middle, codestream):
        raise ImageError("has JPEG data that go on after the end of the picture: they are damaged; copy it again")
    if (tail[:, :BLOCK] == middle).all() and not _same_with_filler(decode, frame, taller[:rows]):
        raise ImageError("has JPEG data that end before the picture does: they are damaged; copy it again")
    return taller[:rows]


def _with_rows(frame: bytes, codestream: Codestream, rows: int) -> bytes:
    """The same codestream with another number of rows in its frame header."""
    at = codestream.rows_at
    return frame[:at] + rows.to_bytes(2, "big") + frame[at + 2 :]


def _goes_on(tail: np.ndarray, middle: int, codestream: Codestream) -> bool:
    """Whether there was still data for the rows that do not exist.

    Zeros read as lossless data are the same difference over and over, so with the left neighbour as predictor
    the row is a ramp.
    """
    if codestream.process != LOSSLESS:
        return bool((tail[:, 2 * BLOCK :] != middle).any())
    steps = np.diff(tail[0, SETTLED:])
    ramp = codestream.predictor != 1 or steps.size == 0 or bool((steps == steps[0]).all())
    return not ramp or bool((tail[1] != middle).any())


def _same_with_filler(decode: Decoder, frame: bytes, picture: np.ndarray) -> bool:
    """Whether the picture stays the same with more data behind its own, so that it did not need them."""
    end = frame.rindex(END_OF_IMAGE)
    return np.array_equal(decode(frame[:end] + FILLER + frame[end:]), picture)


# JPEG 2000 at a half, a quarter or an eighth of its size, without decoding the rest.
#
# A wavelet's low band holds a sample for every second row and column, at the place of the even ones, and not
# between two of them as an average of 2 x 2 pixels would. So the picture that comes out lies up and left by
# (2 ** levels - 1) / 2 pixels of the full one; it is put back here.

MAX_LEVELS = 3


def usable_levels(codestream: Codestream, words: Words, target: tuple[int, int]) -> int:
    """How many resolutions can be left out, 0 to 3, so that neither side gets shorter than ``target``.

    0 where a lower resolution is not sure to be right: other bits or sign than the header's (interpolation
    would mix what wraps around), or a picture that does not start at 0, 0.
    """
    agrees = codestream.bits == words.stored and codestream.signed == words.signed
    if codestream.family != "JPEG 2000" or not agrees or not codestream.origin:
        return 0
    levels = 0
    while levels < min(codestream.levels, MAX_LEVELS) and _fits(codestream, levels + 1, target):
        levels += 1
    return levels


def decode_reduced(frame: bytes, codestream: Codestream, levels: int) -> np.ndarray | None:
    """The values at 1 / 2 ** levels of the size, rounded up; None where the decoder does not give them.

    The pixels cover the full picture's area, uint16 or int16.
    """
    from PIL import Image

    rows, columns = reduced_size(codestream, levels)
    try:
        with Image.open(BytesIO(frame), formats=["JPEG2000"]) as image:
            image.reduce = levels  # type: ignore[assignment, method-assign]
            # Pillow divides and rounds to the nearest, where the codestream has the next larger size
            image._size = (columns << levels, rows << levels)
            values = np.asarray(image)
    except Exception:
        return None
    if values.shape != (rows, columns) or values.dtype.itemsize not in (1, 2):
        return None
    # Pillow shifts to 8 or 16 bits and moves signed values up to start at 0
    shift = 8 * values.dtype.itemsize - codestream.bits
    placed = _put_back(values >> shift if shift >= 0 else values, codestream, levels)
    return placed.astype(np.int16) - np.int16(1 << (codestream.bits - 1)) if codestream.signed else placed


def reduced_size(codestream: Codestream, levels: int) -> tuple[int, int]:
    """Rows and columns after leaving out ``levels`` resolutions (15444-1 B.5)."""
    return -(-codestream.rows // 2**levels), -(-codestream.columns // 2**levels)


def _fits(codestream: Codestream, levels: int, target: tuple[int, int]) -> bool:
    rows, columns = reduced_size(codestream, levels)
    return rows >= target[0] and columns >= target[1]


def _put_back(values: np.ndarray, codestream: Codestream, levels: int) -> np.ndarray:
    """Interpolate at the centres of the pixels that the picture will be taken to have.

    Sample k lies at ``k * 2 ** levels`` of the full picture; pixel k, one of n over a side of N pixels, has its centre
    at ``(k + 0.5) * N / n - 0.5``. As the size is rounded up, N / n may be a little less than ``2 ** levels``.
    """
    import cv2

    step = 2**levels
    rows, columns = values.shape
    down, right = codestream.rows / rows, codestream.columns / columns
    to_sample = np.array(
        [[right / step, 0, (right / 2 - 0.5) / step], [0, down / step, (down / 2 - 0.5) / step]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed = cv2.warpAffine(values, to_sample, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed, values.dtype)
