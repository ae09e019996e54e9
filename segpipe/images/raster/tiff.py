"""One page of a TIFF to samples: libtiff for the pixels, after everything that the file declares was checked here.

A page's tags are read and checked first, then its strips or tiles for damage that libtiff passes over, and only then is
anything decoded. Clauses are those of TIFF 6.0; BigTIFF differs from it in the widths of its numbers only.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import MAX_DECODED_BYTES, check_size
from segpipe.images.jpeg import check_scans, decode_grey, read_jpeg_header
from segpipe.images.raster.grey import RasterImage, meaningful
from segpipe.images.raster.jpeg import UPRIGHT

MAX_PAGES, MAX_TAGS = 1024, 512
NEW_SUBFILE_TYPE, COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, CHANNELS, STRIP_ROWS, STRIP_BYTES, PLANAR = 273, 274, 277, 278, 279, 284
COLOUR_MAP, TILE_COLUMNS, TILE_ROWS, TILE_OFFSETS, TILE_BYTES = 320, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 338, 339, 347
WANTED = {NEW_SUBFILE_TYPE, COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, ORIENTATION, CHANNELS}
WANTED |= {STRIP_ROWS, STRIP_BYTES, PLANAR, COLOUR_MAP, TILE_COLUMNS, TILE_ROWS, TILE_OFFSETS, TILE_BYTES}
WANTED |= {EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES}
CODES = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 16: "u8"}  # BYTE, SHORT, LONG, UNDEFINED, LONG8: those of wanted tags
REDUCED, TRANSPARENCY_MASK = 1, 4  # bits of NewSubfileType

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: colours multiplied by this alpha already, or not
JPEG, DEFLATE = 7, (8, 32946)
COMPRESSIONS = {1, 2, 3, 4, 5, JPEG, *DEFLATE, 32773, 50000}  # none, CCITT, LZW, JPEG, deflate, PackBits, Zstandard
MAX_TILE_PIXELS = 2**24
STEP = 2**20

CUT_OFF = "is a TIFF whose pixels are damaged or cut off; copy or export it again"
DAMAGED = "is a TIFF whose structure is damaged or cut off; copy or export it again"


@dataclass(frozen=True)
class Page:
    """One directory's tags; ``number`` counts all directories from 0."""

    number: int
    tags: dict[int, np.ndarray]

    def get(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return int(self.tags[tag][0]) if tag in self.tags else default

    @property
    def is_auxiliary(self) -> bool:
        """Whether this is a thumbnail or a transparency mask of another page."""
        return bool(self.get(NEW_SUBFILE_TYPE, 0) & (REDUCED | TRANSPARENCY_MASK))


def decode_tiff(data: bytes, page: int | None = None) -> RasterImage:
    """Decode a TIFF's page, counted from 1; None means the only one.

    Raises ImageError for damage, for a choice that is missing or impossible, and for values whose black and
    white nobody declares (floating point, signed, 32 bits).
    """
    pages = read_pages(data)
    if not pages:
        raise ImageError(DAMAGED)
    if page is None and len(pages) > 1:
        raise ImageError(
            f"is a TIFF with several pages ({len(pages)}); choose one of an image's with raster.page, "
            "or export the one picture that is meant"
        )
    if page is not None and page > len(pages):
        raise ImageError(f"is a TIFF with {len(pages)} pages, and raster.page asks for page {page}")
    chosen = pages[(page or 1) - 1]
    places = _check(chosen, len(data))
    if is_damaged(data, chosen, places):
        raise ImageError(CUT_OFF)
    return _described(_decode(data, chosen), chosen, page if len(pages) > 1 else None)


def read_pages(data: bytes) -> list[Page]:
    """All pages in the order of the file; thumbnails and masks are no pages unless there is nothing else.

    Raises ImageError where directories are damaged, lie outside of the file or run in a circle.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        if big and struct.unpack_from(f"{order}HH", data, 4) != (8, 0):
            raise ImageError(DAMAGED)
        at = int(struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0])
        found: list[Page] = []
        seen: set[int] = set()
        while at:
            if at in seen or len(found) >= MAX_PAGES:
                raise ImageError(DAMAGED if at in seen else f"is a TIFF of more than {MAX_PAGES} pages")
            seen.add(at)
            tags, at = _directory(data, at, order, big)
            found.append(Page(len(found), tags))
    except (struct.error, OverflowError):
        raise ImageError(DAMAGED) from None
    return [page for page in found if not page.is_auxiliary] or found[:1]


def _directory(data: bytes, at: int, order: str, big: bool) -> tuple[dict[int, np.ndarray], int]:
    """The wanted tags of the directory at ``at``, and where the next one is (section 2)."""
    width, inline = (20, 8) if big else (12, 4)
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    if count > MAX_TAGS:
        raise ImageError(DAMAGED)
    start = at + (8 if big else 2)
    following = int(struct.unpack_from(order + ("Q" if big else "I"), data, start + count * width)[0])
    tags: dict[int, np.ndarray] = {}
    for entry in range(start, start + count * width, width):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, entry)
        if tag not in WANTED or kind not in CODES or not number:
            continue
        dtype = np.dtype(order + CODES[kind])
        where = entry + width - inline
        if number * dtype.itemsize > inline:
            where = int(struct.unpack_from(order + ("Q" if big else "I"), data, where)[0])
        if where + number * dtype.itemsize > len(data) or tag in tags:  # of two, decoders may take the other
            raise ImageError(DAMAGED)
        tags[tag] = np.frombuffer(data, dtype, number, where)
    return tags, following


def _check(page: Page, length: int) -> list[tuple[int, int]]:
    """Refuse what is not read, and sizes and places of pixels that cannot be; return the places."""
    bits = np.unique(page.tags.get(BITS, np.array([1])))
    photometric, channels = page.get(PHOTOMETRIC, -1), page.get(CHANNELS, 1)
    if page.get(SAMPLE_FORMAT, 1) not in (1, 4) or bits.max() > 16:
        raise ImageError(
            "is a TIFF of floating-point, signed or 32-bit values, whose black and white nobody declares; "
            "export it with 8 or 16 unsigned bits"
        )
    compression = page.get(COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        raise ImageError(f"is a TIFF of compression {compression}, which is not read; export it with LZW or deflate")
    known = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1} | ({YCBCR: 3} if compression == JPEG else {})
    if photometric not in known or channels < known[photometric]:
        raise ImageError(
            f"is a TIFF of colour type {photometric} with {channels} channels, which is not read; export it as grey"
        )
    depth = int(bits[0])
    if len(bits) > 1 or depth < 1 or (photometric == PALETTE and depth > 8) or (channels > 1 and depth not in (8, 16)):
        raise ImageError(f"is a TIFF of {depth} bits and {channels} channels, which is not read; export it as grey")
    rows, columns = page.get(ROWS, 0), page.get(COLUMNS, 0)
    check_size(rows, columns, channels * (2 if depth > 8 else 1))
    return _check_places(page, rows, columns, channels if page.get(PLANAR, 1) == 2 else 1, length)


def _check_places(page: Page, rows: int, columns: int, planes: int, length: int) -> list[tuple[int, int]]:
    """Offset and length of the strips or tiles, which must be as many as the picture needs, and inside the file."""
    tiled = TILE_OFFSETS in page.tags
    if tiled:
        across, down = page.get(TILE_COLUMNS, 0), page.get(TILE_ROWS, 0)
        if across < 1 or down < 1 or across * down > MAX_TILE_PIXELS:
            raise ImageError(DAMAGED)
        needed = -(-rows // down) * -(-columns // across) * planes
    else:
        needed = -(-rows // max(1, min(rows, page.get(STRIP_ROWS, rows)))) * planes
    offsets = page.tags.get(TILE_OFFSETS if tiled else STRIP_OFFSETS, np.empty(0))[:needed]
    sizes = page.tags.get(TILE_BYTES if tiled else STRIP_BYTES, np.empty(0))[:needed]
    if len(offsets) < needed or len(sizes) < needed:
        raise ImageError(DAMAGED)
    if (offsets.astype(np.float64) + sizes).max() > length:
        raise ImageError("is a TIFF that ends too early, as an interrupted copy does; copy it again")
    return list(zip(offsets.tolist(), sizes.tolist(), strict=True))


def is_damaged(data: bytes, page: Page, places: Iterable[tuple[int, int]]) -> bool:
    """Whether a strip or tile, at ``places`` (offset, length), has damage that libtiff passes over.

    Of JPEG it fills up what is missing with grey, and of deflate it stops when it has its bytes, before the checksum.
    """
    compression = page.get(COMPRESSION, 1)
    try:
        if compression == JPEG:
            tables = page.tags.get(JPEG_TABLES, np.empty(0, np.uint8)).tobytes()
            return any(_is_damaged_jpeg(data[start : start + length], tables) for start, length in places)
        if compression in DEFLATE:
            _inflate(data, places)
    except zlib.error:
        return True
    return False


def _is_damaged_jpeg(strip: bytes, tables: bytes) -> bool:
    """Whether a picture that is coded with ``tables``, a JPEG stream without picture, does not decode."""
    whole = tables[:-2] + strip[2:] if tables else strip
    header = read_jpeg_header(whole)
    if header is None or header.end < 0 or check_scans(whole, header):
        return True
    check_size(header.rows, header.columns, header.components)
    if header.components not in (1, 3):  # libtiff decodes these, but not to grey
        return False
    try:
        decode_grey(whole, header)
    except Exception:
        return True
    return False


def _inflate(data: bytes, places: Iterable[tuple[int, int]]) -> None:
    """Inflate up to the checksums (RFC 1950), but no more than a picture may have, for bombs go on for ever.

    Raises zlib.error for damage and for a stream that does not reach its end.
    """
    left = MAX_DECODED_BYTES
    for start, length in places:
        stream, pending = zlib.decompressobj(), data[start : start + length]
        while pending and left > 0:
            left -= len(stream.decompress(pending, STEP))
            pending = stream.unconsumed_tail
        if not stream.eof and left > 0:
            raise zlib.error


def _decode(data: bytes, page: Page) -> np.ndarray:
    """Samples as stored, uint8 or uint16, (rows, columns), or (rows, columns, channels)."""
    rows, columns, channels = page.get(ROWS, 0), page.get(COLUMNS, 0), page.get(CHANNELS, 1)
    try:
        samples: np.ndarray = imagecodecs.tiff_decode(data, index=page.number)
    except (imagecodecs.TiffError, ValueError, IndexError):
        raise ImageError(CUT_OFF) from None
    if samples.shape == (channels, rows, columns) and channels > 1 and page.get(PLANAR, 1) == 2:
        samples = np.moveaxis(samples, 0, 2)
    if samples.shape not in ((rows, columns), (rows, columns, channels)) or samples.dtype.kind not in "bu":
        raise ImageError(CUT_OFF)
    return samples.view(np.uint8) if samples.dtype == bool else samples


def _described(samples: np.ndarray, page: Page, number: int | None) -> RasterImage:
    """Polarity, palette, alpha and orientation (sections 3, 5, 6 and 18)."""
    bits, photometric = page.get(BITS, 1), page.get(PHOTOMETRIC, -1)
    notes: list[str] = []
    orientation = page.get(ORIENTATION, 1)
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"tiff_orientation:{orientation}")
    samples, alpha = _without_extra(samples, page, notes)
    if photometric == PALETTE:
        return RasterImage(samples, 8, "palette", _palette(page, bits), alpha, tuple(notes), number)
    if photometric == WHITE_IS_ZERO:
        samples = samples.dtype.type(2**bits - 1) - samples
        notes.append("white_is_zero")
    if bits < 8:
        samples = _to_full_scale(samples, bits)
    colour = {WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", RGB: "RGB", YCBCR: "YCbCr"}[photometric]
    return RasterImage(samples, bits, colour, None, alpha, tuple(notes), number)


def _without_extra(samples: np.ndarray, page: Page, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Split off what is beyond grey or R, G, B: an alpha is one only where ExtraSamples says so."""
    colours = 3 if page.get(PHOTOMETRIC, -1) in (RGB, YCBCR) else 1
    if samples.ndim == 2:
        return samples, None
    kind = page.get(EXTRA_SAMPLES, 0) if samples.shape[2] > colours else -1
    alpha, found = meaningful(samples[..., colours] if kind in (ASSOCIATED, UNASSOCIATED) else None)
    notes += found
    if kind == 0 or samples.shape[2] > colours + 1:
        notes.append("extra_channels_ignored")
    if kind == ASSOCIATED and alpha is not None:
        alpha = None  # the colours are over black already
        notes.append("alpha_over_black")
    return (samples[..., :3] if colours == 3 else samples[..., 0]), alpha


def _to_full_scale(samples: np.ndarray, bits: int) -> np.ndarray:
    """Grey of 1 to 7 bits to 0..255, rounded."""
    table = np.zeros(256, np.uint8)
    table[: 2**bits] = np.rint(np.arange(2**bits) * (255 / (2**bits - 1)))
    return cv2.LUT(np.ascontiguousarray(samples), table)


def _palette(page: Page, bits: int) -> np.ndarray:
    """ColorMap as (256, 3) uint8: all reds, greens, blues of 16 bits; some writers fill in 8-bit values."""
    entries = page.tags.get(COLOUR_MAP, np.empty(0))
    if len(entries) != 3 * 2**bits:
        raise ImageError("is a palette TIFF without a valid palette; export it again")
    colours = np.zeros((256, 3), np.uint8)
    high = entries >> 8 if entries.max() > 255 else entries
    colours[: 2**bits] = high.reshape(3, -1).T
    return colours
