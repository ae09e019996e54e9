"""One page of a TIFF to samples: libtiff for the pixels, after everything it declares was checked here."""

import cv2
import imagecodecs
import numpy as np

from segpipe.errors import ImageError
from segpipe.io.raster import tiff_directory as tiff
from segpipe.io.raster.grey import Raster, meaningful
from segpipe.io.raster.jpeg import UPRIGHT
from segpipe.io.raster.tiff_damage import is_damaged
from segpipe.io.raster.tiff_directory import Page
from segpipe.io.source import check_size

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: colours multiplied by this alpha already, or not
JPEG = 7
COMPRESSIONS = {1, 2, 3, 4, 5, JPEG, 8, 32946, 32773, 50000}  # none, CCITT, LZW, JPEG, deflate, PackBits, Zstandard
MAX_TILE_PIXELS = 2**24

CUT_OFF = "is a TIFF whose pixels are damaged or cut off; copy or export it again"


def decode_tiff(data: bytes, page: int | None = None) -> Raster:
    """Decode a TIFF's page, counted from 1; None means the only one.

    Raises ImageError for damage, for a choice that is missing or impossible, and for values whose black and
    white nobody declares (floating point, signed, 32 bits).
    """
    pages = tiff.pages(data)
    if not pages:
        raise ImageError(tiff.DAMAGED)
    if page is None and len(pages) > 1:
        raise ImageError(
            f"is a TIFF with several pages ({len(pages)}); choose one of an image's with raster.page, "
            "or export the one picture that is meant"
        )
    if page is not None and page > len(pages):
        raise ImageError(f"is a TIFF with {len(pages)} pages, and raster.page asks for page {page}")
    chosen = pages[(page or 1) - 1]
    places = _check(chosen, len(data))
    if is_damaged(data, chosen.get(tiff.COMPRESSION, 1), places):
        raise ImageError(CUT_OFF)
    return _described(_decode(data, chosen), chosen, page if len(pages) > 1 else None)


def _check(page: Page, length: int) -> list[tuple[int, int]]:
    """Refuse what is not read, and sizes and places of pixels that cannot be; return the places."""
    bits = np.unique(page.tags.get(tiff.BITS, np.array([1])))
    photometric, channels = page.get(tiff.PHOTOMETRIC, -1), page.get(tiff.CHANNELS, 1)
    if page.get(tiff.SAMPLE_FORMAT, 1) not in (1, 4) or bits.max() > 16:
        raise ImageError(
            "is a TIFF of floating-point, signed or 32-bit values, whose black and white nobody declares; "
            "export it with 8 or 16 unsigned bits"
        )
    compression = page.get(tiff.COMPRESSION, 1)
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
    rows, columns = page.get(tiff.ROWS, 0), page.get(tiff.COLUMNS, 0)
    check_size(rows, columns, channels * (2 if depth > 8 else 1))
    return _check_places(page, rows, columns, channels if page.get(tiff.PLANAR, 1) == 2 else 1, length)


def _check_places(page: Page, rows: int, columns: int, planes: int, length: int) -> list[tuple[int, int]]:
    """Offset and length of the strips or tiles, which must be as many as the picture needs, and inside the file."""
    tiled = tiff.TILE_OFFSETS in page.tags
    if tiled:
        across, down = page.get(tiff.TILE_COLUMNS, 0), page.get(tiff.TILE_ROWS, 0)
        if across < 1 or down < 1 or across * down > MAX_TILE_PIXELS:
            raise ImageError(tiff.DAMAGED)
        needed = -(-rows // down) * -(-columns // across) * planes
    else:
        needed = -(-rows // max(1, min(rows, page.get(tiff.STRIP_ROWS, rows)))) * planes
    offsets = page.tags.get(tiff.TILE_OFFSETS if tiled else tiff.STRIP_OFFSETS, np.empty(0))[:needed]
    sizes = page.tags.get(tiff.TILE_BYTES if tiled else tiff.STRIP_BYTES, np.empty(0))[:needed]
    if len(offsets) < needed or len(sizes) < needed:
        raise ImageError(tiff.DAMAGED)
    if (offsets.astype(np.float64) + sizes).max() > length:
        raise ImageError("is a TIFF that ends too early, as an interrupted copy does; copy it again")
    return list(zip(offsets.tolist(), sizes.tolist(), strict=True))


def _decode(data: bytes, page: Page) -> np.ndarray:
    """Samples as stored, uint8 or uint16, (rows, columns), or (rows, columns, channels)."""
    rows, columns, channels = page.get(tiff.ROWS, 0), page.get(tiff.COLUMNS, 0), page.get(tiff.CHANNELS, 1)
    try:
        samples: np.ndarray = imagecodecs.tiff_decode(data, index=page.number)
    except (imagecodecs.TiffError, ValueError, IndexError):
        raise ImageError(CUT_OFF) from None
    if samples.shape == (channels, rows, columns) and channels > 1 and page.get(tiff.PLANAR, 1) == 2:
        samples = np.moveaxis(samples, 0, 2)
    if samples.shape not in ((rows, columns), (rows, columns, channels)) or samples.dtype.kind not in "bu":
        raise ImageError(CUT_OFF)
    return samples.view(np.uint8) if samples.dtype == bool else samples


def _described(samples: np.ndarray, page: Page, number: int | None) -> Raster:
    """Polarity, palette, alpha and orientation (sections 3, 5, 6 and 18)."""
    bits, photometric = page.get(tiff.BITS, 1), page.get(tiff.PHOTOMETRIC, -1)
    notes: list[str] = []
    orientation = page.get(tiff.ORIENTATION, 1)
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"tiff_orientation:{orientation}")
    samples, alpha = _without_extra(samples, page, notes)
    if photometric == PALETTE:
        return Raster(samples, 8, "palette", _palette(page, bits), alpha, tuple(notes), number)
    if photometric == WHITE_IS_ZERO:
        samples = samples.dtype.type(2**bits - 1) - samples
        notes.append("white_is_zero")
    if bits < 8:
        samples = _to_full_scale(samples, bits)
    colour = {WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", RGB: "RGB", YCBCR: "YCbCr"}[photometric]
    return Raster(samples, bits, colour, None, alpha, tuple(notes), number)


def _without_extra(samples: np.ndarray, page: Page, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Split off what is beyond grey or R, G, B: an alpha is one only where ExtraSamples says so."""
    colours = 3 if page.get(tiff.PHOTOMETRIC, -1) in (RGB, YCBCR) else 1
    if samples.ndim == 2:
        return samples, None
    kind = page.get(tiff.EXTRA_SAMPLES, 0) if samples.shape[2] > colours else -1
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
    entries = page.tags.get(tiff.COLOUR_MAP, np.empty(0))
    if len(entries) != 3 * 2**bits:
        raise ImageError("is a palette TIFF without a valid palette; export it again")
    colours = np.zeros((256, 3), np.uint8)
    high = entries >> 8 if entries.max() > 255 else entries
    colours[: 2**bits] = high.reshape(3, -1).T
    return colours
