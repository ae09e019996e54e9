"""PNG: a strict reading of the chunks, then libpng for the pixels.

libpng accepts or warns about damage in chunks that do not matter to it; checking every CRC here costs a quarter of a
millisecond for a 1024 x 1024 picture. Only the chunks that decide pixels are handed on, so that gamma, profiles, text
and animation neither change values nor expand in memory. Clauses are those of the PNG specification (ISO/IEC 15948).
"""

import struct
import zlib
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.raster.grey import RasterImage, meaningful

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_EXCESS = 2**20
MAX_CHUNKS = 100_000
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
COLOUR_NAMES = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey+alpha", RGB_ALPHA: "RGBA"}


@dataclass(frozen=True)
class Png:
    """The chunks that decide pixels, CRC checked."""

    rows: int
    columns: int
    depth: int
    colour: int
    interlaced: int  # 0 or 1
    chunks: dict[bytes, list[memoryview]]  # type -> whole chunks (length, type, payload, CRC)

    def payload(self, kind: bytes) -> bytes:
        """The payload of the first chunk of this kind; empty where there is none."""
        return bytes(self.chunks[kind][0][8:-4]) if kind in self.chunks else b""


def decode_png(data: bytes) -> RasterImage:
    """Decode a PNG; raises ImageError for damaged and animated ones."""
    png = parse(data)
    colour = COLOUR_NAMES[png.colour]
    if png.colour == PALETTE:
        colours, entry_alpha = _palette(png)
        check_size(png.rows, png.columns, 2 if entry_alpha is None else 3)  # indices, alpha, grey
        indices = _indices(png)
        alpha, notes = meaningful(None if entry_alpha is None else cv2.LUT(indices, entry_alpha))
        return RasterImage(indices, 8, colour, colours, alpha, notes)
    samples = _samples(png, png.colour)
    alpha = None
    if png.colour in (GREY_ALPHA, RGB_ALPHA):
        samples, alpha = samples[..., :-1], samples[..., -1]
        samples = samples[..., 0] if samples.shape[2] == 1 else samples
    key = _transparent_colour(png)
    if key is not None:
        alpha = _keyed_alpha(samples, key)
    alpha, notes = meaningful(alpha)
    return RasterImage(samples, png.depth, colour, None, alpha, notes)


def _keyed_alpha(samples: np.ndarray, key: list[int]) -> np.ndarray:
    """Zero where a pixel has the one transparent colour, full scale elsewhere."""
    clear = np.ones(samples.shape[:2], bool)
    for channel, value in zip(np.atleast_3d(samples).transpose(2, 0, 1), key, strict=True):
        clear &= channel == value
    alpha = np.full(clear.shape, np.iinfo(samples.dtype).max, samples.dtype)
    alpha[clear] = 0
    return alpha


def parse(data: bytes) -> Png:
    """Check the structure and return the parts; raises ImageError for anything damaged or animated."""
    chunks = _chunks(data)
    if b"IHDR" not in chunks or b"IDAT" not in chunks or b"IEND" not in chunks:
        raise ImageError("is a PNG without header, pixel data or end, so it is cut off; copy it again")
    header = chunks[b"IHDR"][0][8:-4]
    if len(header) != 13:
        raise ImageError("is a PNG with a damaged header; copy or export it again")
    columns, rows, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", header)
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlaced > 1:
        raise ImageError(
            f"is a PNG with an impossible header (colour type {colour} with {depth} bits); export it again"
        )
    check_size(rows, columns, CHANNELS[colour] * (2 if depth == 16 else 1))
    png = Png(rows, columns, depth, colour, interlaced, chunks)
    frames = png.payload(b"acTL")[:4]
    if len(frames) == 4 and int.from_bytes(frames, "big") > 1:
        raise ImageError("is an animated PNG; export the one picture that is meant")
    return png


def _chunks(data: bytes) -> dict[bytes, list[memoryview]]:
    """Chunks by type up to IEND, every CRC checked (clause 5.3)."""
    view = memoryview(data)
    found: dict[bytes, list[memoryview]] = {}
    at, kind, count = len(SIGNATURE), b"", 0
    while kind != b"IEND":
        count += 1
        if count > MAX_CHUNKS:
            raise ImageError(f"is a PNG of more than {MAX_CHUNKS} parts, which no writer makes; export it again")
        length = int.from_bytes(view[at : at + 4], "big")
        chunk = view[at : at + length + 12]
        if len(chunk) < 12 or len(chunk) != length + 12:
            raise ImageError("is a PNG that ends too early, as an interrupted copy does; copy it again")
        kind = bytes(chunk[4:8])
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ImageError("is a PNG with a wrong checksum, so its content has changed; copy it again")
        found.setdefault(kind, []).append(chunk)
        at += length + 12
    return found


def _samples(png: Png, colour: int) -> np.ndarray:
    """Decode as a picture of this colour type, which must not be a palette.

    Returns uint8 or uint16 of shape (rows, columns), or (rows, columns, 2 to 4): grey or R, G, B, then alpha.
    Depths below 8 are scaled to 0..255 (clause 13.12).
    """
    _refuse_excess(png)
    header = struct.pack(">IIBBBBB", png.columns, png.rows, png.depth, colour, 0, 0, png.interlaced)
    file: list[bytes | memoryview] = [SIGNATURE, _chunk(b"IHDR", header), *png.chunks[b"IDAT"], *png.chunks[b"IEND"]]
    shape = (png.rows, png.columns) + ((CHANNELS[colour],) if colour != GREY else ())
    try:
        samples: np.ndarray = imagecodecs.png_decode(b"".join(file))
    except (imagecodecs.PngError, ValueError):
        samples = np.empty(0)
    if samples.shape != shape:
        raise ImageError("is a PNG whose compressed pixels are damaged or cut off; copy or export it again")
    return samples


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _indices(png: Png) -> np.ndarray:
    """The indices of a palette PNG, uint8 of shape (rows, columns): coded as greys of the same depth are."""
    return _samples(png, GREY) // np.uint8(255 // (2**png.depth - 1))


def _refuse_excess(png: Png) -> None:
    """Refuse a stream that holds more than the pixels, for libpng inflates it to its end.

    No more than one in a thousand is lost by compressing, and pictures shrink to a twentieth at most: the
    stream of any other is counted first.
    """
    row = (png.columns * CHANNELS[png.colour] * png.depth + 7) // 8 + 1
    expected = png.rows * row + (png.rows + row) * 8  # of interlacing, which adds to rows and bytes
    pieces = [chunk[8:-4] for chunk in png.chunks[b"IDAT"]]
    if expected // 20 < sum(map(len, pieces)) < expected * 1.001 + 4096:
        return
    stream, total = zlib.decompressobj(), 0
    try:
        for piece in pieces:
            pending: bytes = piece.tobytes()
            while pending and total <= expected + MAX_EXCESS:
                total += len(stream.decompress(pending, MAX_EXCESS))
                pending = stream.unconsumed_tail
    except zlib.error:
        return  # libpng says so
    if total > expected + MAX_EXCESS:
        raise ImageError("is a PNG whose compressed data hold far more than its pixels; export it again")


def _palette(png: Png) -> tuple[np.ndarray, np.ndarray | None]:
    """The palette as (256, 3) uint8 in R, G, B order, and the alpha of each entry, (256,) uint8 or None.

    Indices beyond the palette, an error by clause 11.2.3, are black.
    """
    entries = np.frombuffer(png.payload(b"PLTE"), np.uint8)
    if len(entries) == 0 or len(entries) % 3 or len(entries) > 768:
        raise ImageError("is a palette PNG without a valid palette; export it again")
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(entries) // 3] = entries.reshape(-1, 3)
    transparency = png.payload(b"tRNS")
    if not transparency:
        return colours, None
    alpha = np.full(256, 255, np.uint8)
    alpha[: len(transparency)] = np.frombuffer(transparency, np.uint8)[:256]
    return colours, alpha


def _transparent_colour(png: Png) -> list[int] | None:
    """The one transparent grey or R, G, B of a tRNS chunk, in the scale of :func:`_samples`."""
    key = png.payload(b"tRNS")
    size = {GREY: 2, RGB: 6}.get(png.colour)
    if size is None or len(key) != size:
        return None
    scale = 255 // (2**png.depth - 1) if png.depth < 8 else 1
    return [int.from_bytes(key[i : i + 2], "big") * scale for i in range(0, size, 2)]
