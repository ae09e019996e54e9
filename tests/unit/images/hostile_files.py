"""Files made to crash, hang or exhaust their readers, in a few hundred bytes to a few megabytes each.

Where a reader has to look into a header first, the header holds :data:`SECRET`.
"""

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.unit.images.pictures import SECRET, asymmetric, dataset_of, saved

SIDE = 12_000  # 144 megapixels, just under the limit: what is refused is not refused for its size
SMALL = asymmetric(4095)
DEPTH = 20_000
BOMB = 100_000_000  # bytes; large enough to be told from the picture's few thousand


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in Explicit VR Little Endian; ``length`` may lie."""
    length = len(value) if length is None else length
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    size = b"\0\0" + struct.pack("<I", length) if long else struct.pack("<H", length)
    return struct.pack("<HH", group, number) + vr + size + value


def with_elements(extra: bytes, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    """A small radiograph with crafted elements put before its pixel data."""
    dataset = dataset_of(SMALL, 12)
    dataset.file_meta.TransferSyntaxUID = UID(uid.ExplicitVRLittleEndian)
    data = saved(dataset).replace(uid.ExplicitVRLittleEndian.encode() + b"\0", syntax.encode() + b"\0", 1)
    at = data.rindex(b"\xe0\x7f\x10\0")
    return data[:at] + extra + data[at:]


def nested(tag: tuple[int, int], depth: int, defined: bool) -> bytes:
    """Sequences in sequences, with lengths or with delimiters (PS3.5 7.5)."""
    if not defined:
        opening = element(*tag, b"SQ", b"", 0xFFFFFFFF) + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
        closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
        return opening * depth + closing * depth
    heads = [
        element(*tag, b"SQ", b"", 20 * level + 8) + b"\xfe\xff\0\xe0" + struct.pack("<I", 20 * level)
        for level in range(depth - 1, -1, -1)
    ]
    return b"".join(heads)


def empty_items(tag: tuple[int, int], count: int) -> bytes:
    return element(*tag, b"SQ", b"\xfe\xff\0\xe0\0\0\0\0" * count)


def deflated(body: bytes) -> bytes:
    """A deflated file (PS3.5 A.5) whose data set is ``body``, whatever that is."""
    dataset = dataset_of(SMALL, 12)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    data = saved(dataset)
    meta = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return data[:meta] + packer.compress(body) + packer.flush()


def deflate_bomb(rows: int, columns: int, size: int, pixels: bool = True) -> bytes:
    """A header for ``rows`` x ``columns`` and ``size`` zeros, as pixel data or as something private."""
    plain = saved(dataset_of(SMALL, 12, Rows=rows, Columns=columns))
    start, end = 144 + int.from_bytes(plain[140:144], "little"), plain.rindex(b"\xe0\x7f\x10\0")
    tag = (0x7FE0, 0x10) if pixels else (0x0009, 0x1001)
    rest = b"" if pixels else plain[end:]
    bomb = element(*tag, b"OB", bytes(size))
    return deflated(plain[start:end] + bomb + rest if pixels else plain[start:start] + bomb + plain[start:end] + rest)


def encapsulated(frame: bytes, syntax: str, rows: int, columns: int, bits: int = 8, **tags: Any) -> bytes:
    """A compressed file of the declared size around any bytes."""
    dataset: Dataset = dataset_of(np.zeros((4, 4)), bits, Rows=rows, Columns=columns, **tags)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    return saved(dataset)


def jpeg(rows: int, columns: int, marker: int, bits: int = 8) -> bytes:
    """Start and end of a JPEG or JPEG-LS codestream that declares a size and holds next to nothing."""
    frame = struct.pack(">BBHBHHBBBB", 0xFF, marker, 11, bits, rows, columns, 1, 1, 0x11, 0)
    scan = b"\xff\xda\0\x08\x01\x01\0\0\0\0"
    return b"\xff\xd8" + frame + scan + bytes(16) + b"\xff\xd9"


def jpeg2000(rows: int, columns: int, tile: int | None = None, components: int = 1) -> bytes:
    """A JPEG 2000 codestream (ISO/IEC 15444-1 A.5) with one empty tile part."""
    tile_rows, tile_columns = (tile or rows), (tile or columns)
    size = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, tile_columns, tile_rows, 0, 0, components)
    size += b"\x07\x01\x01" * components
    cod = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    qcd = b"\xff\x5c" + struct.pack(">HB", 19, 0x40) + bytes(16)
    tile_part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14, 0, 1) + b"\xff\x93"
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + cod + qcd + tile_part + b"\xff\xd9"


def rle(rows: int, columns: int) -> bytes:
    """An RLE frame (PS3.5 G) of zeros, 64 times smaller than its picture."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (rows * columns // 128)


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of the given chunks; their checksums are right."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, payload in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        parts += [struct.pack(">I", len(payload)), name, payload, struct.pack(">I", zlib.crc32(name + payload))]
    return b"".join(parts)


def zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def tiff(*tags: tuple[int, int, int, int], tail: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value or offset)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + tail


def grey_tiff(rows: int, columns: int, **more: Any) -> bytes:
    size = [(256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, more.pop("compression", 1))]
    return tiff(*size, (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, 16), **more)


def nifti(rows: int, columns: int, offset: float = 352.0, kind: int = 2) -> bytes:
    """A NIfTI-1 header for one slice of bytes (kind 2) or of another type."""
    header = bytearray(352)
    header[:4] = struct.pack("<i", 348)
    header[40:56] = struct.pack("<8h", 2, *(min(n, 32767) for n in (columns, rows)), 1, 1, 1, 1, 1)
    header[70:74] = struct.pack("<hh", kind, {2: 8, 64: 64}.get(kind, 8))
    header[108:112] = struct.pack("<f", offset)
    header[344:348] = b"n+1\0"
    return bytes(header)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


MODALITY_LUT, VOI_LUT, OTHER = (0x0028, 0x3000), (0x0028, 0x3010), (0x0008, 0x1140)

HOSTILE: dict[str, Callable[[], bytes]] = {
    "dicom: LUT sequences nested 20,000 deep, delimited": lambda: with_elements(nested(MODALITY_LUT, DEPTH, False)),
    "dicom: LUT sequences nested 20,000 deep, with lengths": lambda: with_elements(nested(MODALITY_LUT, DEPTH, True)),
    "dicom: other sequences nested 20,000 deep, delimited": lambda: with_elements(nested(OTHER, DEPTH, False)),
    "dicom: other sequences nested 20,000 deep, with lengths": lambda: with_elements(nested(OTHER, DEPTH, True)),
    "dicom: nested 200,000 deep and never closed": lambda: with_elements(nested(VOI_LUT, 200_000, False))[:-4_000_000],
    "dicom: a VOI LUT sequence of a million empty items": lambda: with_elements(empty_items(VOI_LUT, 1_000_000)),
    "dicom: another sequence of a million empty items": lambda: with_elements(empty_items(OTHER, 1_000_000)),
    "dicom: a million empty items without a length": lambda: with_elements(
        element(*OTHER, b"SQ", b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000, 0xFFFFFFFF) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    ),
    "dicom: a million elements": lambda: with_elements(element(0x0009, 0x1001, b"LO", b"") * 1_000_000),
    "dicom: an element that declares 4 GiB": lambda: with_elements(
        element(0x0009, 0x1001, b"OB", SECRET.encode(), 0xFFFFFFFE)
    ),
    "dicom: pixel data that declare 4 GiB": lambda: saved(dataset_of(SMALL, 12, PixelData=None))
    + element(0x7FE0, 0x10, b"OW", bytes(999), 0xFFFFFFFE),
    "dicom: 65535 x 65535 pixels": lambda: saved(dataset_of(SMALL, 12, Rows=65535, Columns=65535)),
    "dicom: two thousand million frames": lambda: saved(dataset_of(SMALL, 12, NumberOfFrames="2147483647")),
    "dicom: a number of a million digits": lambda: with_elements(element(0x0028, 0x1053, b"UN", b"9" * 1_000_000)),
    "dicom: a million window centres": lambda: with_elements(element(0x0028, 0x1050, b"UN", b"1\\" * 1_000_000)),
    "dicom: deflated, 100 MB in a private element": lambda: deflate_bomb(37, 53, BOMB, pixels=False),
    "dicom: deflated, 100 MB of pixel data for 37 x 53 pixels": lambda: deflate_bomb(37, 53, BOMB),
    "dicom: deflated, 100 MB of zeros": lambda: deflated(bytes(BOMB)),
    "dicom: a million empty fragments": lambda: with_elements(
        element(0x7FE0, 0x10, b"OB", b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000, 0xFFFFFFFF), uid.JPEGLSLossless
    ),
    "dicom: JPEG of 144 Mpx in 40 bytes": lambda: encapsulated(
        jpeg(SIDE, SIDE, 0xC0), uid.JPEGBaseline8Bit, SIDE, SIDE
    ),
    "dicom: lossless JPEG of 144 Mpx in 40 bytes": lambda: encapsulated(
        jpeg(SIDE, SIDE, 0xC3, 16), uid.JPEGLosslessSV1, SIDE, SIDE, 16
    ),
    "dicom: progressive JPEG of 144 Mpx in 40 bytes": lambda: encapsulated(
        jpeg(SIDE, SIDE, 0xC2), uid.JPEGBaseline8Bit, SIDE, SIDE
    ),
    "dicom: JPEG-LS of 144 Mpx in 40 bytes": lambda: encapsulated(
        jpeg(SIDE, SIDE, 0xF7), uid.JPEGLSLossless, SIDE, SIDE
    ),
    "dicom: JPEG 2000 of 144 Mpx in 120 bytes": lambda: encapsulated(
        jpeg2000(SIDE, SIDE), uid.JPEG2000Lossless, SIDE, SIDE
    ),
    "dicom: JPEG 2000 of 144 Mpx in tiles of one pixel": lambda: encapsulated(
        jpeg2000(SIDE, SIDE, tile=1), uid.JPEG2000Lossless, SIDE, SIDE
    ),
    "dicom: JPEG 2000 of 16,384 components": lambda: encapsulated(
        jpeg2000(37, 53, components=16384), uid.JPEG2000Lossless, 37, 53
    ),
    "dicom: JPEG 2000 of four thousand million columns": lambda: encapsulated(
        jpeg2000(2**32 - 1, 2**32 - 1), uid.JPEG2000Lossless, 37, 53
    ),
    "dicom: RLE of 144 Mpx in 64 bytes": lambda: encapsulated(rle(SIDE, SIDE)[:64], uid.RLELossless, SIDE, SIDE),
    "dicom: RLE with segments that overlap": lambda: encapsulated(
        struct.pack("<16I", 15, *[64] * 15) + b"\x81\0" * 99, uid.RLELossless, 37, 53
    ),
    "png: declares 2**31 x 2**31": lambda: png(2**31 - 1, 2**31 - 1, (b"IDAT", zeros(1000))),
    "png: declares 144 Mpx, holds 1000 bytes": lambda: png(SIDE, SIDE, (b"IDAT", zeros(1000))),
    "png: 37 x 53 pixels, holds 100 MB": lambda: png(53, 37, (b"IDAT", zeros(BOMB))),
    "png: text of 100 MB packed": lambda: png(
        53, 37, (b"zTXt", b"Comment\0\0" + zeros(BOMB)), (b"IDAT", zlib.compress(bytes(range(54)) * 37))
    ),
    "png: a million empty chunks": lambda: png(53, 37, *[(b"IDAT", b"")] * 1_000_000),
    "tiff: declares 2**31 x 2**31": lambda: grey_tiff(2**31, 2**31, tail=bytes(99)),
    "tiff: declares 144 Mpx, holds 99 bytes": lambda: grey_tiff(SIDE, SIDE, tail=bytes(99)),
    "tiff: a directory that follows itself": lambda: grey_tiff(4, 4, tail=bytes(99), following=8),
    "tiff: a tag of four thousand million values": lambda: tiff(
        (256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 2**32 - 1, 8), (273, 4, 2**32 - 1, 8), tail=bytes(99)
    ),
    "gif: 65535 x 65535, one pixel": lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff"
    b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
    "gif: a hundred thousand pictures": lambda: b"GIF89a\x04\0\x04\0\x80\0\0\0\0\0\xff\xff\xff"
    + b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0" * 100_000 + b";",
    "bmp: 144 Mpx run-length coded, in 70 bytes": lambda: b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 70, 0, 62, 40, SIDE, SIDE, 1, 8, 1, 8, 0, 0, 2, 0
    ) + bytes(8) + b"\xff\0\xff\0\0\1\0\1",
    "bmp: minus two thousand million rows": lambda: b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 62, 0, 54, 40, 2**31 - 1, -(2**31), 1, 8, 0, 8, 0, 0, 0, 0
    ) + bytes(99),
    "nifti: declares 32767 x 32767": lambda: nifti(32767, 32767) + bytes(99),
    "nifti: declares 144 Mpx of doubles, holds 99 bytes": lambda: nifti(SIDE, SIDE, kind=64) + bytes(99),
    "nifti: data start at four thousand million": lambda: nifti(37, 53, 4e9) + bytes(99),
    "nifti: data start at no number": lambda: nifti(37, 53, float("nan")) + bytes(99),
    "gzip: 100 MB of zeros": lambda: packed(bytes(BOMB)),
    "gzip: a NIfTI of 37 x 53 and 100 MB behind it": lambda: packed(nifti(37, 53, kind=1024) + bytes(BOMB)),
    "gzip: a gzip in a gzip in a gzip": lambda: packed(packed(packed(bytes(BOMB)))),
    "npy: an object array, which is pickled": lambda: b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, "
    b"'shape': (1,), }" + b" " * 60 + b"\n\x80\x04cos\nsystem\n(S'touch pwned'\ntR.",
    "pickle": lambda: b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.",
    "yaml": lambda: b"!!python/object/apply:os.system ['touch pwned']\n",
    "svg with an entity bomb": lambda: b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">]><svg>&a;</svg>',
    "zip": lambda: b"PK\x03\x04" + bytes(200),
}  # fmt: skip
"""Name -> what makes the file."""

READABLE = (
    "dicom: other sequences nested 20,000 deep, with lengths",
    "dicom: another sequence of a million empty items",
    "dicom: a number of a million digits",
    "dicom: a million window centres",
    "png: text of 100 MB packed",
    "gzip: a NIfTI of 37 x 53 and 100 MB behind it",
)
"""Those that hold a picture, and what is bad about them need not be looked at. The others must be refused."""
