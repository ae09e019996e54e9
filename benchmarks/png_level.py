"""How masks are best written as PNG: bytes and CPU milliseconds of levels, strategies, filters and one bit a pixel.

Masks are the lungs of the Montgomery radiographs (512x512, shared development data) where they are there, phantoms'
lungs of 1024x1024, and label images of 16 structures. Every mask goes through all candidates before the next one does.
Decoding is timed with cv2, as the stages read.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from harness import print_machine, print_table, shared

from segpipe.demo.render import phantom_arrays
from segpipe.masks.encode import encode_png

Encode = Callable[[np.ndarray], bytes]
STRATEGIES = {
    "default": cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    "filtered": cv2.IMWRITE_PNG_STRATEGY_FILTERED,
    "huffman": cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    "rle": cv2.IMWRITE_PNG_STRATEGY_RLE,
    "fixed": cv2.IMWRITE_PNG_STRATEGY_FIXED,
}
FILTERS = {
    "none": cv2.IMWRITE_PNG_FILTER_NONE,
    "sub": cv2.IMWRITE_PNG_FILTER_SUB,
    "up": cv2.IMWRITE_PNG_FILTER_UP,
    "paeth": cv2.IMWRITE_PNG_FILTER_PAETH,
}


def with_cv2(*options: int) -> Encode:
    """cv2's writer with these options."""

    def encode(mask: np.ndarray) -> bytes:
        return bytes(cv2.imencode(".png", mask, options)[1])

    return encode


def candidates(binary: bool) -> dict[str, Encode]:
    """Ways to write a mask; those of one bit only for masks of two values."""
    level, strategy, kind = cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_FILTER
    found: dict[str, Encode] = {"what segpipe writes": encode_png, "cv2 without options": with_cv2()}
    found |= {f"level {number}": with_cv2(level, number) for number in range(10)}
    for name, value in STRATEGIES.items():
        found[f"level 1, {name}, up"] = with_cv2(level, 1, strategy, value, kind, FILTERS["up"])
    for name, value in FILTERS.items():
        for number in (1, 2, 3, 6, 9):
            found[f"level {number}, filter {name}"] = with_cv2(level, number, kind, value)
    if binary:
        found |= {f"one bit, level {number}": with_cv2(cv2.IMWRITE_PNG_BILEVEL, 1, level, number) for number in (1, 6)}
    return found


def label_image(seed: int) -> np.ndarray:
    """Sixteen structures, uint8 (1024, 1024): a phantom's classes, each cut into parts."""
    _, truth = phantom_arrays(seed, (1024, 1024))
    label = np.zeros((1024, 1024), np.uint8)
    rows, columns = np.mgrid[:1024, :1024]
    quarter = 1 + (rows > 512).astype(np.uint8) * 2 + (columns > 512)
    for number, mask in enumerate(truth.values()):
        label[mask > 0] = (number * 4 + quarter[mask > 0]) % 16 + 1
    return label


def table(masks: list[np.ndarray], binary: bool) -> None:
    """Print bytes, milliseconds to write and to read, per mask."""
    ways = candidates(binary)
    size, wrote, read = (dict.fromkeys(ways, 0.0) for _ in range(3))
    for mask in masks:
        for name, encode in ways.items():
            started = time.process_time()
            content = encode(mask)
            written = time.process_time()
            back = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            ended = time.process_time()
            if not np.array_equal(back, mask):
                raise SystemExit(f"{name} changes the mask")
            size[name] += len(content) / len(masks)
            wrote[name] += 1000 * (written - started) / len(masks)
            read[name] += 1000 * (ended - written) / len(masks)
    header = ["way", "KB", "ms to write", "ms to read"]
    rows = [[name, f"{size[name] / 1000:.1f}", f"{wrote[name]:.2f}", f"{read[name]:.2f}"] for name in ways]
    print_table(header, rows)


def main() -> None:
    """A table for each kind of mask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=10, help="masks of each kind")
    count = parser.parse_args().masks
    cv2.setNumThreads(1)
    print_machine("opencv-python-headless", "numpy")
    real = shared("montgomery-138/masks", "*.png")[:count]
    if real:
        pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in real]
        print(f"{len(real)} lungs of Montgomery, {pictures[0].shape[0]}x{pictures[0].shape[1]} and alike\n")
        table([(picture > 127).astype(np.uint8) * 255 for picture in pictures], binary=True)
    lungs = [phantom_arrays(seed, (1024, 1024))[1]["lung"] for seed in range(count)]
    print(f"{count} lungs of phantoms, 1024x1024\n")
    table([(lung > 0).astype(np.uint8) * 255 for lung in lungs], binary=True)
    print(f"{count} label images of 16 structures, 1024x1024\n")
    table([label_image(seed) for seed in range(count)], binary=False)


if __name__ == "__main__":
    main()
