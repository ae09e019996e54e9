"""Damage in a TIFF's strips and tiles that libtiff passes over.

Of JPEG it fills up what is missing with grey, and of deflate it stops when it has its bytes, before the checksum.
"""

import zlib
from collections.abc import Iterable

from segpipe.errors import ImageError
from segpipe.io.raster import jpeg_markers
from segpipe.io.source import MAX_DECODED_BYTES

JPEG, DEFLATE = (7,), (8, 32946)
STEP = 2**20


def is_damaged(data: bytes, compression: int, places: Iterable[tuple[int, int]]) -> bool:
    """Whether a strip or tile, at ``places`` (offset, length), is damaged: JPEG by its markers, deflate by its sum."""
    try:
        if compression in JPEG:
            for start, length in places:
                jpeg_markers.parse(data[start : start + length])
        elif compression in DEFLATE:
            _inflate(data, places)
    except (ImageError, zlib.error):
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
