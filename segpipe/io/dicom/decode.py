"""From DICOM pixel data to stored words of one frame, checked against the header before and after decoding."""

from dataclasses import dataclass

import numpy as np
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.io.dicom import codecs
from segpipe.io.dicom.accept import Picture
from segpipe.io.dicom.codestream import JPEG_2000_START, Codestream
from segpipe.io.dicom.frames import check_native_length, encapsulated_frame, native_frame
from segpipe.io.dicom.header import Header, name_of
from segpipe.io.dicom.jpeg_damage import decode_jpeg
from segpipe.io.dicom.parse import NOT_STATED
from segpipe.io.dicom.reconcile import check_codestream, to_words
from segpipe.io.dicom.reduce import decode_reduced, usable_levels
from segpipe.io.dicom.words import Words


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
