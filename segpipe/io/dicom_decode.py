"""From DICOM pixel data to stored words, with the fastest right decoder that is installed."""

import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from segpipe.errors import ImageError
from segpipe.io.dicom_header import NOT_STATED, Header, name_of
from segpipe.io.source import check_size

# syntax -> pydicom's plugins, best first. Pillow decodes 8-bit JPEG as the IJG's library does, and
# detects truncation, which libjpeg does not; CharLS (pyjpegls) takes a quarter of libjpeg's time.
PREFERRED: dict[uid.UID, tuple[str, ...]] = {
    uid.JPEGBaseline8Bit: ("pillow", "pylibjpeg", "gdcm"),
    uid.JPEGExtended12Bit: ("pylibjpeg", "gdcm"),
    uid.JPEGLossless: ("pylibjpeg", "gdcm"),
    uid.JPEGLosslessSV1: ("pylibjpeg", "gdcm"),
    uid.JPEGLSLossless: ("pyjpegls", "pylibjpeg", "gdcm"),
    uid.JPEGLSNearLossless: ("pyjpegls", "pylibjpeg", "gdcm"),
    uid.JPEG2000Lossless: ("pylibjpeg", "pillow", "gdcm"),
    uid.JPEG2000: ("pylibjpeg", "pillow", "gdcm"),
    uid.HTJ2KLossless: ("pylibjpeg",),
    uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
    uid.HTJ2K: ("pylibjpeg",),
    uid.RLELossless: ("pylibjpeg", "pydicom", "gdcm"),
}
PACKAGES = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pylibjpeg-libjpeg",
    uid.JPEGLossless: "pylibjpeg-libjpeg",
    uid.JPEGLosslessSV1: "pylibjpeg-libjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.RLELossless: "pylibjpeg-rle",
}
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
END_OF_IMAGE = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


def decodable_transfer_syntaxes() -> dict[str, list[str]]:
    """Name of every transfer syntax that can be read now -> the decoders for it, the preferred one first."""
    native = {uid.UID(syntax).name: ["numpy"] for syntax in NATIVE}
    return native | {syntax.name: found for syntax in PREFERRED if (found := _available(syntax))}


def decode(header: Header, rows: int, columns: int, allocated: int) -> np.ndarray:
    """Return the stored words, bits unmasked: (rows, columns), uint8 or uint16 as ``allocated`` says.

    Raises ImageError for syntaxes that nothing installed decodes, data that end too early and
    codestreams that contradict the header.
    """
    syntax = header.transfer_syntax
    if syntax in NATIVE:
        return _native(header, rows, columns, allocated)
    if syntax not in PREFERRED:
        raise ImageError(
            f"has the transfer syntax {name_of(syntax)}, which is not one of single pictures that can be decoded; "
            "convert it to Explicit VR Little Endian"
        )
    plugins = _available(syntax)
    if not plugins:
        package = PACKAGES.get(syntax, "pylibjpeg-openjpeg")
        raise ImageError(f"has the transfer syntax {name_of(syntax)}; install the package {package} to decode it")
    _check_frame(header, rows, columns)
    return _with_plugin(header, plugins[0], allocated).reshape(rows, columns)


def _available(syntax: uid.UID) -> list[str]:
    installed = get_decoder(syntax).available_plugins
    return [plugin for plugin in PREFERRED[syntax] if plugin in installed]


def _native(header: Header, rows: int, columns: int, allocated: int) -> np.ndarray:
    """Uncompressed words (PS3.5 8.1.1); trailing bytes beyond the picture are padding."""
    data = header.dataset.PixelData
    if header.dataset["PixelData"].is_undefined_length:
        hint = "its transfer syntax is not stated" if NOT_STATED in header.notes else "its transfer syntax is wrong"
        raise ImageError(f"has compressed pixel data, but {hint}; export it again with file meta information")
    needed = rows * columns * allocated // 8
    if len(data) < needed:
        raise ImageError(
            f"has {len(data)} bytes of pixel data where {rows} x {columns} pixels of {allocated} bits need {needed}: "
            "the file is cut off; copy it again"
        )
    big = header.transfer_syntax == uid.ExplicitVRBigEndian
    if allocated == 8 and big and header.dataset["PixelData"].VR == "OW":
        # two 8-bit pixels share a byte-swapped word (PS3.5 8.1.1 and A.3)
        return (
            np.frombuffer(data[: len(data) // 2 * 2], ">u2")
            .astype("<u2")
            .view(np.uint8)[:needed]
            .reshape(rows, columns)
        )
    dtype = np.dtype(np.uint8) if allocated == 8 else np.dtype(">u2" if big else "<u2")
    words = np.frombuffer(data, dtype, count=rows * columns).reshape(rows, columns)
    return words.astype(dtype.newbyteorder("="), copy=False)


def _check_frame(header: Header, rows: int, columns: int) -> None:
    """Refuse a codestream that is cut off or of another size before a decoder allocates or hangs.

    Some decoders fill up what is missing without a word, and others take seconds to find out.
    """
    try:
        frame = get_frame(header.dataset.PixelData, 0, number_of_frames=1)
    except Exception:
        raise ImageError("has compressed pixel data in damaged fragments; copy it again") from None
    if header.transfer_syntax == uid.RLELossless:
        return
    if END_OF_IMAGE not in frame.rstrip(b"\0")[-16:]:
        raise ImageError(
            f"has {name_of(header.transfer_syntax)} pixel data without an end marker: it is cut off; copy it again"
        )
    size = codestream_size(frame)
    if size is None:
        raise ImageError(f"has pixel data that are not {name_of(header.transfer_syntax)}; export it again")
    check_size(*size)
    if size != (rows, columns):
        raise ImageError(
            f"declares {rows} x {columns} pixels, but its compressed picture has {size[0]} x {size[1]}; export it again"
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream declares; None if it is none of these."""
    if frame.startswith(b"\xff\x4f\xff\x51"):  # SOC, SIZ: ISO/IEC 15444-1 A.5.1
        right, bottom, left, top = (int.from_bytes(frame[i : i + 4], "big") for i in (8, 12, 16, 20))
        return bottom - top, right - left
    if not frame.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif _is_start_of_frame(marker):
            return int.from_bytes(frame[at + 5 : at + 7], "big"), int.from_bytes(frame[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _is_start_of_frame(marker: int) -> bool:
    """SOF0..SOF15 without DHT, JPG and DAC (ISO/IEC 10918-1 B.1.1.3), and SOF55 of JPEG-LS."""
    return marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))


def _with_plugin(header: Header, plugin: str, allocated: int) -> np.ndarray:
    syntax = header.transfer_syntax
    try:
        words, _ = get_decoder(syntax).as_array(header.dataset, index=0, raw=True, decoding_plugin=plugin)
    except Exception as error:
        raise ImageError(
            f"has {name_of(syntax)} pixel data that {plugin} cannot decode ({type(error).__name__}): "
            "they are damaged or of an unusual kind; export it uncompressed"
        ) from None
    unsigned = np.dtype(f"u{allocated // 8}")
    return words.view(unsigned) if words.dtype.itemsize == unsigned.itemsize else words.astype(unsigned)
