"""PNG pixels inflated by libdeflate, which takes half of zlib's time; libpng undoes the filters as before.

The inflated bytes are handed to libpng in a zlib stream of stored blocks (RFC 1951, 3.2.4), which it copies. So it
sees the very bytes that it would have inflated itself.
"""

import struct
import zlib
from typing import Any

import imagecodecs

LARGEST_BLOCK = 65535
HEADER = b"\x78\x01"  # of a zlib stream: RFC 1950, 2.2


def crc32(data: Any) -> int:
    """The checksum of a chunk, by zlib-ng in a twentieth of zlib's time where imagecodecs has it."""
    try:
        return int(imagecodecs.zlibng_crc32(data))
    except ImportError:
        return zlib.crc32(data)


def stored_again(idat: bytes, size: int) -> bytes | None:
    """An IDAT chunk of stored blocks for a zlib stream that inflates to just ``size`` bytes; None for any other."""
    try:
        plain = imagecodecs.deflate_decode(idat, raw=False, out=size)
    except Exception:  # damaged, or longer than it should be: for libpng to judge
        return None
    if len(plain) != size:
        return None
    view = memoryview(plain)
    parts: list[bytes | memoryview] = [b"IDAT", HEADER]
    for start in range(0, size, LARGEST_BLOCK):
        block = view[start : start + LARGEST_BLOCK]
        parts += [struct.pack("<BHH", start + LARGEST_BLOCK >= size, len(block), len(block) ^ 0xFFFF), block]
    content = b"".join([*parts, idat[-4:]])  # the checksum of the plain bytes stays what it was
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", crc32(content))
