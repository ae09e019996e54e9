"""A small TIFF writer: every layout that the readers in use must get right, written from the specification."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}
CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def packed(samples: np.ndarray, bits: int, big: bool = False) -> bytes:
    """(rows, values per row) as rows of whole bytes; fewer than 8 and 12 bits are packed from the high bit down."""
    if bits in (8, 16, 32):
        return samples.astype(f"{'>' if big else '<'}u{bits // 8}").tobytes()
    each = (samples[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(each.reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int = 1,
    *,
    big: bool = False,
    bigtiff: bool = False,
    compress: Callable[[bytes], bytes] = bytes,
    predictor: int = 1,
    rows_per_strip: int = 7,
    tile: int = 0,
    planar: bool = False,
    tags: dict[int, Any] | None = None,
    pages: int = 1,
    more: list[dict[int, Any]] | None = None,
) -> bytes:
    """A TIFF of (rows, columns) or (rows, columns, channels) samples.

    ``tags`` override or add; a value of None leaves the tag out. ``more`` gives a further page per entry, the
    same picture with these tags.
    """
    samples = samples[..., None] if samples.ndim == 2 else samples
    rows, columns, channels = samples.shape
    planes = [samples[..., i : i + 1] for i in range(channels)] if planar else [samples]
    blocks = [block for plane in planes for block in _blocks(plane, rows_per_strip, tile)]
    coded = [compress(_bytes(block, bits, big, predictor)) for block in blocks]
    order = ">" if big else "<"
    head = 16 if bigtiff else 8
    offsets, at = [], head
    for piece in coded:
        offsets.append(at)
        at += len(piece)
    entries: dict[int, Any] = {256: columns, 257: rows, 258: [bits] * channels, 259: 1, 262: photometric}
    entries |= {277: channels, 284: 2 if planar else 1}
    entries |= {317: predictor} if predictor > 1 else {}
    if tile:
        entries |= {322: tile, 323: tile, 324: offsets, 325: [len(piece) for piece in coded]}
    else:
        entries |= {273: offsets, 278: rows_per_strip, 279: [len(piece) for piece in coded]}
    body = b"".join(coded)
    body += b"\0" * (len(body) % 2)
    directories = [entries | (tags or {})] + [entries | (tags or {}) | page for page in more or [{}] * (pages - 1)]
    first = head + len(body)
    for number, directory in enumerate(directories):
        body += _directory(directory, head + len(body), order, bigtiff, number + 1 == len(directories))
    magic = b"MM" if big else b"II"
    if bigtiff:
        return magic + struct.pack(f"{order}HHHQ", 43, 8, 0, first) + body
    return magic + struct.pack(f"{order}HI", 42, first) + body


def _blocks(plane: np.ndarray, rows_per_strip: int, tile: int) -> list[np.ndarray]:
    if not tile:
        return [plane[top : top + rows_per_strip] for top in range(0, len(plane), rows_per_strip)]
    rows, columns = (-(-size // tile) * tile for size in plane.shape[:2])
    full = np.pad(plane, [(0, rows - plane.shape[0]), (0, columns - plane.shape[1]), (0, 0)], mode="edge")
    return [
        full[top : top + tile, left : left + tile] for top in range(0, rows, tile) for left in range(0, columns, tile)
    ]


def _bytes(block: np.ndarray, bits: int, big: bool, predictor: int) -> bytes:
    block = block.astype(np.int64)
    if predictor == 2:
        block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1) % 2**bits
    return packed(block.reshape(len(block), -1), bits, big)


def _directory(entries: dict[int, Any], at: int, order: str, bigtiff: bool, last: bool) -> bytes:
    entries = {tag: value for tag, value in sorted(entries.items()) if value is not None}
    count, field, inline = ("Q", "Q", 8) if bigtiff else ("H", "I", 4)
    table = b""
    behind = at + struct.calcsize(order + count) + len(entries) * (12 + 8 * bigtiff) + inline
    extra = b""
    for tag, value in entries.items():
        kind, values = value if isinstance(value, tuple) else (None, value)
        values = values if isinstance(values, list) else [values]
        if isinstance(values[0], bytes):
            kind, payload, number = 7, values[0], len(values[0])
        else:
            kind = kind or (16 if max(values) > 0xFFFFFFFF else 4 if max(values) > 65535 or tag in (273, 324) else 3)
            payload, number = struct.pack(f"{order}{len(values)}{CODES[kind]}", *values), len(values)
        if len(payload) > inline:
            payload, extra = (
                struct.pack(order + field, behind + len(extra)),
                extra + payload + b"\0" * (len(payload) % 2),
            )
        table += struct.pack(f"{order}HH{field}", tag, kind, number) + payload.ljust(inline, b"\0")
    length = struct.calcsize(order + count) + len(table) + inline + len(extra)
    following = 0 if last else at + length
    return struct.pack(order + count, len(entries)) + table + struct.pack(order + field, following) + extra


def deflate(data: bytes) -> bytes:
    return zlib.compress(data)


def packbits(data: bytes) -> bytes:
    """Literal runs only, which is valid (TIFF 6.0, section 9)."""
    return b"".join(bytes([len(part) - 1]) + part for part in (data[i : i + 128] for i in range(0, len(data), 128)))


def packbits_rows(width: int) -> Callable[[bytes], bytes]:
    """Rows of ``width`` bytes one by one, as the specification wants it."""
    return lambda data: b"".join(packbits(data[i : i + width]) for i in range(0, len(data), width))


def lzw(data: bytes) -> bytes:
    """Nine-bit codes with a clear code in front of each 200 bytes, which is valid (TIFF 6.0, section 13)."""
    codes = [code for i in range(0, len(data), 200) for code in (256, *data[i : i + 200])] + [257]
    bits = (np.array(codes)[:, None] >> np.arange(9)[::-1]) & 1
    return np.packbits(bits.ravel().astype(np.uint8)).tobytes()
