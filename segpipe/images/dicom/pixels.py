"""From DICOM pixel data to the stored words of one frame, checked before and after decoding.

The frame that is meant is found (PS3.5 8.2, A.4; PS3.3 C.7.6.6), its codestream is held against the header, and then
decoded as the transfer syntax says: at its own resolution, or JPEG 2000 at a half, a quarter or an eighth of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from struct import unpack_from
from typing import Literal

import cv2
import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.images.dicom.accept import NATIVE, DicomImage, Words
from segpipe.images.dicom.codestream import JPEG_2000_START, Codestream, Family, check_codestream, to_words
from segpipe.images.dicom.header import NOT_STATED, Header, name_of
from segpipe.images.jpeg import check_scans, decode_grey, read_jpeg_header

ITEM, DELIMITER = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0"
STARTS = (b"\xff\xd8\xff", JPEG_2000_START)  # of a JPEG, JPEG-LS or JPEG 2000 codestream
DAMAGED = "has compressed pixel data in damaged fragments; copy it again"
MAX_LEVELS = 3

Decoder = Callable[[bytes], np.ndarray]
"""Takes a codestream and returns (rows, columns) of integers, or raises anything."""


@dataclass(frozen=True)
class Decoded:
    """Stored words, bits unmasked, uint8 or uint16 as Bits Allocated says; ``scale`` is 1, or 2, 4 or 8.

    ``words`` has the shape of the picture, or that divided by ``scale`` and rounded up.
    """

    words: np.ndarray
    scale: int = 1


def decode(header: Header, image: DicomImage, index: int, target: tuple[int, int] | None = None) -> Decoded:
    """Decode frame ``index`` (from 0); with ``target`` (rows, columns) at a lower resolution not below it, if there is.

    Raises ImageError for other transfer syntaxes than those of single pictures, data that end too early and
    codestreams that contradict the header.
    """
    syntax = header.transfer_syntax
    if syntax in NATIVE:
        return Decoded(_at_high_bit(header, _native(header, image, index), image.words))
    if syntax not in (*CODECS, uid.RLELossless):
        raise ImageError(
            f"has the transfer syntax {name_of(syntax)}, which is not one of single pictures that can be decoded; "
            "convert it to Explicit VR Little Endian"
        )
    frame = encapsulated_frame(header, index, image.frames)
    if syntax == uid.RLELossless:
        words = _attempt(header, lambda: rle(frame, image.rows, image.columns, image.words.allocated))
        return Decoded(_at_high_bit(header, words, image.words))
    return _decode_codestream(header, image, frame, target)


def _decode_codestream(header: Header, image: DicomImage, frame: bytes, target: tuple[int, int] | None) -> Decoded:
    family, decoder = CODECS[header.transfer_syntax]
    if family == "JPEG 2000":
        frame = _without_boxes(header, frame)
    codestream = check_codestream(header, frame, image, family)
    levels = usable_levels(codestream, image.words, target) if target else 0
    values = decode_reduced(frame, codestream, levels) if levels else None
    if values is None:
        if levels:
            header.note("lower_resolution_unreadable")
        levels, values = 0, _decode(header, frame, codestream, decoder)
    return Decoded(to_words(values, codestream, image.words), 2**levels)


def _decode(header: Header, frame: bytes, codestream: Codestream, decoder: Decoder) -> np.ndarray:
    values = _attempt(header, lambda: decoder(frame))
    if values.shape != (codestream.rows, codestream.columns) or values.dtype.kind not in "iu":
        name = name_of(header.transfer_syntax)
        raise ImageError(f"has {name} pixel data that decode to another kind of picture; export it again")
    return values


def _attempt(header: Header, decode: Callable[[], np.ndarray]) -> np.ndarray:
    name = name_of(header.transfer_syntax)
    try:
        return decode()
    except ImportError:
        raise ImageError(
            f"has the transfer syntax {name}, which the installed package imagecodecs was built without; "
            "install imagecodecs from PyPI to decode it"
        ) from None
    except Exception as error:
        raise ImageError(
            f"has {name} pixel data that cannot be decoded ({type(error).__name__}): they are cut off, damaged or of "
            "an unusual kind; copy it again or export it uncompressed"
        ) from None


def choose_frame(frames: int, wanted: Literal["first", "middle"] | int | None) -> int:
    """The index of the frame to read, from 0; ``wanted`` is ``dicom.frame`` and counts from 1.

    Raises ImageError where there are several and nothing says which, or not as many as ``wanted``.
    """
    if frames < 1:
        raise ImageError(f"declares {frames} frames, so there is no picture in it; export it again")
    if frames == 1 or wanted == "first":
        return 0
    if wanted is None:
        raise ImageError(
            f"has {frames} frames, and nothing says which is meant; set dicom.frame to first, middle or a number, "
            "or export the frame that is meant"
        )
    if wanted == "middle":
        return (frames - 1) // 2
    if wanted > frames:
        raise ImageError(f"has {frames} frames, so dicom.frame: {wanted} is none of them")
    return wanted - 1


def native_frame(header: Header, index: int, size: int, swapped: bool = False) -> bytes | memoryview:
    """The bytes of one uncompressed frame; frames follow each other without padding (PS3.5 8.1.1).

    ``size`` is a frame's length in bytes. ``swapped``: pairs of bytes are the wrong way round. Raises ImageError
    where the data end before the frame does.
    """
    data = header.dataset.PixelData
    start, end = index * size, (index + 1) * size
    if len(data) < end:
        raise ImageError(
            f"has {len(data)} bytes of pixel data where the picture needs {end}: the file is cut off; copy it again"
        )
    if not swapped:
        return memoryview(data)[start:end]  # no copy
    pairs = bytearray(data[start - start % 2 : end + end % 2])
    pairs[0::2], pairs[1::2] = pairs[1::2], pairs[0::2]
    return bytes(pairs[start % 2 : start % 2 + size])


def check_native_length(header: Header, frames: int, size: int) -> None:
    """Refuse uncompressed pixel data with room for more frames than the header declares; note a smaller surplus.

    More than padding is there: bytes of wider pixels, of three colours, or of frames and rows that were not declared.
    ``size`` is a frame's length in bytes. Raises ImageError.
    """
    found, needed = len(header.dataset.PixelData), frames * size
    surplus = found - needed
    if surplus <= needed % 2:  # padded to an even length (PS3.5 8.1.1)
        return
    if surplus >= size:
        raise ImageError(
            f"has {found} bytes of pixel data where its size, bits and frames make {needed}: one of these is wrong; "
            "export it again"
        )
    header.note(f"surplus_bytes:{surplus}")


def encapsulated_frame(header: Header, index: int, frames: int) -> bytes:
    """The fragments of one compressed frame, joined.

    A single picture is all fragments, whatever an offset table says. Among several the Extended Offset Table
    (C.7.6.3.1.8) or the Basic Offset Table (PS3.5 A.4) tells, else there is one fragment for each frame,
    else a frame starts where a codestream does. Raises ImageError where that leads nowhere.
    """
    basic, fragments = _fragments(bytes(header.dataset.PixelData))
    parts = list(fragments.values())
    if frames == 1:
        if any(part.startswith(STARTS) for part in parts[1:]):
            raise ImageError("declares one frame, but its pixel data hold several; export it again")
        return b"".join(parts)
    for starts in (_extended_offsets(header), basic):
        if len(starts) == frames and set(starts) <= fragments.keys() and starts == sorted(set(starts)):
            bounds = [*starts, 2**64]
            return b"".join(part for at, part in fragments.items() if bounds[index] <= at < bounds[index + 1])
        if starts:
            header.note("offset_table_ignored")
    if len(parts) == frames:
        return parts[index]
    firsts = [number for number, part in enumerate(parts) if part.startswith(STARTS)]
    if len(firsts) != frames:
        found = len(firsts) or len(parts)
        raise ImageError(f"declares {frames} frames, but its pixel data hold {found}; copy it again")
    bounds = [*firsts, len(parts)]
    return b"".join(parts[bounds[index] : bounds[index + 1]])


def _fragments(data: bytes) -> tuple[list[int], dict[int, bytes]]:
    """The Basic Offset Table, and every fragment by its offset from the first one."""
    items: dict[int, bytes] = {}
    at = 0
    while at + 8 <= len(data) and data[at : at + 4] != DELIMITER:
        end = at + 8 + unpack_from("<I", data, at + 4)[0]
        if data[at : at + 4] != ITEM or end > len(data):
            raise ImageError(DAMAGED)
        items[at] = data[at + 8 : end]
        at = end
    if len(items) < 2:
        raise ImageError(DAMAGED)
    (_, table), (first, _) = list(items.items())[:2]
    basic = list(unpack_from(f"<{len(table) // 4}I", table))
    return basic, {at - first: item for at, item in list(items.items())[1:]}


def _extended_offsets(header: Header) -> list[int]:
    table = header.get("ExtendedOffsetTable")
    return list(unpack_from(f"<{len(table) // 8}Q", table)) if isinstance(table, bytes) else []


def _native(header: Header, image: DicomImage, index: int) -> np.ndarray:
    """Uncompressed words (PS3.5 8.1.1)."""
    element = header.dataset["PixelData"]
    if element.is_undefined_length:
        hint = "its transfer syntax is not stated" if NOT_STATED in header.notes else "its transfer syntax is wrong"
        raise ImageError(f"has compressed pixel data, but {hint}; export it again with file meta information")
    big, bytes_each = header.transfer_syntax == uid.ExplicitVRBigEndian, image.words.allocated // 8
    # two 8-bit pixels share a byte-swapped word (PS3.5 8.1.1 and A.3)
    swapped = big and bytes_each == 1 and element.VR == "OW"
    size = image.rows * image.columns * bytes_each
    check_native_length(header, image.frames, size)
    data = native_frame(header, index, size, swapped)
    dtype = np.dtype(f"{'>' if big else '<'}u{bytes_each}")
    words = np.frombuffer(data, dtype).reshape(image.rows, image.columns)
    return words.astype(dtype.newbyteorder("="), copy=False)


def _at_high_bit(header: Header, words: np.ndarray, layout: Words) -> np.ndarray:
    """The words, moved up to High Bit if they plainly lie at the bottom instead.

    Writers that pad to 16 bits are known to state High Bit 15 beside 12 Bits Stored. Taken at its word that
    would drop the lowest four bits. No word of such a picture has any of the highest bits, and some have the lowest.
    """
    shift = layout.high + 1 - layout.stored
    if shift == 0 or layout.signed:
        return words
    used = int(np.bitwise_or.reduce(words, axis=None))
    if used >> layout.stored or not used & ((1 << shift) - 1):
        return words
    header.note("high_bit_ignored")
    return np.asarray(words << words.dtype.type(shift))


def _without_boxes(header: Header, frame: bytes) -> bytes:
    """The codestream in a JP2 file, which some writers store instead of the bare codestream of PS3.5 A.4.4."""
    if frame[4:8] != b"jP  " or (at := frame.find(b"jp2c" + JPEG_2000_START)) < 0:
        return frame
    header.note("jp2_boxes_skipped")
    return frame[at + 4 :]


def jpeg(frame: bytes) -> np.ndarray:
    """Every JPEG process, 2 to 16 bits, by libjpeg-turbo."""
    header = read_jpeg_header(frame)
    if header is None or check_scans(frame, header):
        raise ValueError("header")
    return decode_grey(frame, header)


def jpeg_ls(frame: bytes) -> np.ndarray:
    """JPEG-LS, lossless or not, by CharLS."""
    return np.asarray(imagecodecs.jpegls_decode(frame))


def jpeg_2000(frame: bytes) -> np.ndarray:
    """JPEG 2000 of normal and high throughput, by OpenJPEG."""
    return np.asarray(imagecodecs.jpeg2k_decode(frame, numthreads=1))  # images are decoded side by side already


def rle(frame: bytes, rows: int, columns: int, allocated: int) -> np.ndarray:
    """Run-length segments, one for each byte of a word, the high byte first (PS3.5 Annex G).

    Raises ValueError where they do not fill the picture.
    """
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
        if len(imagecodecs.packbits_decode(frame[start:end], out=plane)) < pixels:
            raise ValueError("segment is too short")
        planes.append(np.frombuffer(plane, np.uint8, pixels).reshape(rows, columns))
    words = planes[0] if count == 1 else np.asarray(cv2.merge(planes[::-1]))  # the low byte first, side by side
    return words.view(f"<u{count}").reshape(rows, columns)


CODECS: dict[str, tuple[Family, Decoder]] = {
    uid.JPEGBaseline8Bit: ("JPEG", jpeg),
    uid.JPEGExtended12Bit: ("JPEG", jpeg),
    uid.JPEGLossless: ("JPEG", jpeg),
    uid.JPEGLosslessSV1: ("JPEG", jpeg),
    uid.JPEGLSLossless: ("JPEG-LS", jpeg_ls),
    uid.JPEGLSNearLossless: ("JPEG-LS", jpeg_ls),
    uid.JPEG2000Lossless: ("JPEG 2000", jpeg_2000),
    uid.JPEG2000: ("JPEG 2000", jpeg_2000),
    uid.HTJ2KLossless: ("JPEG 2000", jpeg_2000),
    uid.HTJ2KLosslessRPCL: ("JPEG 2000", jpeg_2000),
    uid.HTJ2K: ("JPEG 2000", jpeg_2000),
}
"""How the codestream of each transfer syntax is decoded. Run lengths are no codestream: see :func:`rle`."""


def decodable_transfer_syntaxes() -> list[str]:
    """The names of all transfer syntaxes that are read."""
    return [uid.UID(syntax).name for syntax in (*NATIVE, uid.RLELossless, *CODECS)]


def usable_levels(codestream: Codestream, words: Words, target: tuple[int, int]) -> int:
    """How many resolutions can be left out, 0 to 3, so that neither side gets shorter than ``target``.

    0 where a lower resolution is not sure to be right: other bits or sign than the header's (interpolation
    would mix what wraps around), or a picture that does not start at 0, 0.
    """
    agrees = codestream.bits == words.stored and codestream.signed == words.signed
    if codestream.family != "JPEG 2000" or not agrees or not codestream.origin:
        return 0
    usable = (
        levels for levels in range(1, min(codestream.levels, MAX_LEVELS) + 1) if _is_usable(codestream, levels, target)
    )
    return max(usable, default=0)


def _is_usable(codestream: Codestream, levels: int, target: tuple[int, int]) -> bool:
    """Whether a resolution is not below ``target``, and the decoder, which rounds to the nearest size, asks for it."""
    half = 2**levels // 2
    sizes = reduced_size(codestream, levels)
    asked_for = (codestream.rows + half) >> levels, (codestream.columns + half) >> levels
    return sizes == asked_for and sizes[0] >= target[0] and sizes[1] >= target[1]


def decode_reduced(frame: bytes, codestream: Codestream, levels: int) -> np.ndarray | None:
    """The values at 1 / 2 ** levels of the size, rounded up; None where the decoder does not give them.

    The pixels cover the full picture's area, uint16 or int16.
    """
    rows, columns = reduced_size(codestream, levels)
    try:
        with Image.open(BytesIO(frame), formats=["JPEG2000"]) as image:
            image.reduce = levels  # type: ignore[assignment, method-assign]
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


def _put_back(values: np.ndarray, codestream: Codestream, levels: int) -> np.ndarray:
    """Interpolate at the centres of the pixels that the picture will be taken to have.

    Sample k lies at ``k * 2 ** levels`` of the full picture; pixel k, one of n over a side of N pixels, has its centre
    at ``(k + 0.5) * N / n - 0.5``. As the size is rounded up, N / n may be a little less than ``2 ** levels``.
    """
    step = 2**levels
    rows, columns = values.shape
    down, right = codestream.rows / rows, codestream.columns / columns
    to_sample = np.array(
        [[right / step, 0, (right / 2 - 0.5) / step], [0, down / step, (down / 2 - 0.5) / step]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed = cv2.warpAffine(values, to_sample, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed, values.dtype)
