"""A TIFF's pages and their tags, read and checked without decoding.

Clauses are those of TIFF 6.0; BigTIFF differs from it in the widths of its numbers only.
"""

import struct
from dataclasses import dataclass

import numpy as np

from segpipe.errors import ImageError

MAX_PAGES, MAX_TAGS = 1024, 512
NEW_SUBFILE_TYPE, COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, CHANNELS, STRIP_ROWS, STRIP_BYTES, PLANAR = 273, 274, 277, 278, 279, 284
COLOUR_MAP, TILE_COLUMNS, TILE_ROWS, TILE_OFFSETS, TILE_BYTES = 320, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
WANTED = {NEW_SUBFILE_TYPE, COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, ORIENTATION, CHANNELS}
WANTED |= {STRIP_ROWS, STRIP_BYTES, PLANAR, COLOUR_MAP, TILE_COLUMNS, TILE_ROWS, TILE_OFFSETS, TILE_BYTES}
WANTED |= {EXTRA_SAMPLES, SAMPLE_FORMAT}
CODES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}  # BYTE, SHORT, LONG, LONG8: what the wanted tags are made of
REDUCED, TRANSPARENCY_MASK = 1, 4  # bits of NewSubfileType

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


def pages(data: bytes) -> list[Page]:
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
