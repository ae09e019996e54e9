"""A slow PNG decoder straight from the specification, to compare the fast one with."""

import zlib

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def decode(data: bytes) -> tuple[np.ndarray, int, int, dict[bytes, bytes]]:
    """Raw samples (rows, columns, channels), bit depth, colour type and the first chunk of each kind."""
    chunks: dict[bytes, bytes] = {}
    at, compressed = 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        payload = data[at + 8 : at + 8 + length]
        compressed += payload if kind == b"IDAT" else b""
        chunks.setdefault(kind, payload)
        at += 12 + length
    header = chunks[b"IHDR"]
    columns, rows = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, interlaced = header[8], header[9], header[12]
    channels = CHANNELS[colour]
    stream = zlib.decompress(compressed)
    samples = np.zeros((rows, columns, channels), np.int64)
    for top, left, down, right in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            part[:], stream = _scanlines(stream, part.shape[0], part.shape[1], channels, depth)
    return samples, depth, colour, chunks


def _scanlines(stream: bytes, rows: int, columns: int, channels: int, depth: int) -> tuple[np.ndarray, bytes]:
    width = (columns * channels * depth + 7) // 8
    step = max(1, channels * depth // 8)
    above, lines = [0] * width, []
    for _ in range(rows):
        above = _unfilter(stream[0], list(stream[1 : 1 + width]), above, step)
        stream = stream[1 + width :]
        lines.append(above)
    octets = np.array(lines, np.uint8)
    if depth == 16:
        values = octets.view(">u2").astype(np.int64)
    elif depth == 8:
        values = octets.astype(np.int64)
    else:
        bits = np.unpackbits(octets, axis=1).reshape(rows, -1, depth).astype(np.int64)
        values = bits @ (1 << np.arange(depth)[::-1])
    return values[:, : columns * channels].reshape(rows, columns, channels), stream


def _unfilter(kind: int, line: list[int], above: list[int], step: int) -> list[int]:
    for i in range(len(line)):
        a = line[i - step] if i >= step else 0
        b, c = above[i], above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        line[i] = (line[i] + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
    return line


def grey(data: bytes) -> np.ndarray:
    """Float grey at full scale (255 or 65535): palette, Rec. 601, transparency over black."""
    samples, depth, colour, chunks = decode(data)
    transparency = chunks.get(b"tRNS", b"")
    full = 65535 if depth == 16 else 255
    alpha = np.ones(samples.shape[:2])
    if colour == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3).astype(float)
        table = np.ones(256)
        table[: len(transparency)] = np.frombuffer(transparency, np.uint8) / 255
        alpha = table[samples[..., 0]]
        values = palette[samples[..., 0]]
    else:
        if transparency:
            key = np.frombuffer(transparency, ">u2").astype(int)
            alpha = 1.0 - (samples == key).all(axis=2)
        values = samples * (full / (2**depth - 1))
        if colour in (4, 6):
            alpha = values[..., -1] / full
            values = values[..., :-1]
    luma = values @ [0.299, 0.587, 0.114] if values.shape[2] == 3 else values[..., 0]
    return luma * alpha
