"""The transfer syntaxes of single pictures and what decodes each: one table and a few small functions.

A decoder takes a codestream and returns (rows, columns) of integers, or raises anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from struct import unpack_from

import numpy as np
from pydicom import uid

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
