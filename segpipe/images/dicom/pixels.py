"""From DICOM pixel data to the stored words of one frame, checked before and after decoding (PS3.5 8, A.4)."""

from dataclasses import dataclass
from struct import unpack_from
from typing import Literal

import numpy as np
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.images.dicom import codestream as codecs
from segpipe.images.dicom.accept import Picture
from segpipe.images.dicom.codestream import (
    JPEG_2000_START,
    Codestream,
    check_codestream,
    decode_jpeg,
    decode_reduced,
    to_words,
    usable_levels,
)
from segpipe.images.dicom.header import NOT_STATED, Header, name_of
from segpipe.images.dicom.words import Words

# Which of a file's pictures is meant, and its bytes: nothing is decoded here (PS3.5 8.2, A.4; PS3.3 C.7.6.6).

ITEM, DELIMITER = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0"
STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # of a JPEG, JPEG-LS or JPEG 2000 codestream
DAMAGED = "has compressed pixel data in damaged fragments; copy it again"


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


# From DICOM pixel data to stored words of one frame, checked against the header before and after decoding.


@dataclass(frozen=True)
class Decoded:
    """Stored words, bits unmasked, uint8 or uint16 as Bits Allocated says; ``scale`` is 1, or 2, 4 or 8.

    ``words`` has the shape of the picture, or that divided by ``scale`` and rounded up. ``frame`` is the number of
    the frame from 1, None where there is only one.
    """

    words: np.ndarray
    scale: int = 1
    frame: int | None = None


def decode(header: Header, picture: Picture, index: int, target: tuple[int, int] | None = None) -> Decoded:
    """Decode frame ``index`` (from 0); with ``target`` (rows, columns) at a lower resolution not below it, if there is.

    Raises ImageError for syntaxes that nothing installed decodes, data that end too early and
    codestreams that contradict the header.
    """
    number = index + 1 if picture.frames > 1 else None
    if header.transfer_syntax in codecs.NATIVE:
        return Decoded(_at_high_bit(header, _native(header, picture, index), picture.words), frame=number)
    codec = _codec(header.transfer_syntax)
    frame = encapsulated_frame(header, index, picture.frames)
    if codec.decode is None:
        return Decoded(_at_high_bit(header, _decode_rle(frame, picture), picture.words), frame=number)
    if codec.family == "JPEG 2000":
        frame = _without_boxes(header, frame)
    codestream = check_codestream(header, frame, picture, codec.family)
    levels = usable_levels(codestream, picture.words, target) if target else 0
    values = decode_reduced(frame, codestream, levels) if levels else None
    if values is None:
        if levels:
            header.note("lower_resolution_unreadable")
        levels, values = 0, _decode(header, frame, codestream, codec.decode)
    return Decoded(to_words(values, codestream, picture.words), 2**levels, number)


def _codec(syntax: uid.UID) -> codecs.Codec:
    if syntax not in codecs.CODECS:
        raise ImageError(
            f"has the transfer syntax {name_of(syntax)}, which is not one of single pictures that can be decoded; "
            "convert it to Explicit VR Little Endian"
        )
    codec = codecs.CODECS[syntax]
    if not codecs.is_installed(codec):
        raise ImageError(f"has the transfer syntax {name_of(syntax)}; install the package {codec.package} to decode it")
    return codec


def _native(header: Header, picture: Picture, index: int) -> np.ndarray:
    """Uncompressed words (PS3.5 8.1.1)."""
    element = header.dataset["PixelData"]
    if element.is_undefined_length:
        hint = "its transfer syntax is not stated" if NOT_STATED in header.notes else "its transfer syntax is wrong"
        raise ImageError(f"has compressed pixel data, but {hint}; export it again with file meta information")
    big, bytes_each = header.transfer_syntax == uid.ExplicitVRBigEndian, picture.words.allocated // 8
    # two 8-bit pixels share a byte-swapped word (PS3.5 8.1.1 and A.3)
    swapped = big and bytes_each == 1 and element.VR == "OW"
    size = picture.rows * picture.columns * bytes_each
    check_native_length(header, picture.frames, size)
    data = native_frame(header, index, size, swapped)
    dtype = np.dtype(f"{'>' if big else '<'}u{bytes_each}")
    words = np.frombuffer(data, dtype).reshape(picture.rows, picture.columns)
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


def _decode(header: Header, frame: bytes, codestream: Codestream, decoder: codecs.Decoder) -> np.ndarray:
    name = name_of(header.transfer_syntax)
    try:
        values = decode_jpeg(decoder, frame, codestream) if codestream.family == "JPEG" else decoder(frame)
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(name, error) from None
    if values.shape != (codestream.rows, codestream.columns) or values.dtype.kind not in "iu":
        raise ImageError(f"has {name} pixel data that decode to another kind of picture; export it again")
    return values


def _decode_rle(frame: bytes, picture: Picture) -> np.ndarray:
    try:
        return codecs.rle(frame, picture.rows, picture.columns, picture.words.allocated)
    except Exception as error:
        raise _undecodable("RLE Lossless", error) from None


def _undecodable(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"has {name} pixel data that cannot be decoded ({type(error).__name__}): they are cut off, damaged or of an "
        "unusual kind; copy it again or export it uncompressed"
    )
