"""Whether contestants of predict.py made the same masks."""

from pathlib import Path

import cv2
import numpy as np

Masks = dict[str, tuple[tuple[int, ...], np.ndarray]]  # by file name: shape, and bits packed


def read_masks(folder: Path) -> Masks:
    """All PNGs in and below a folder."""
    masks: Masks = {}
    for path in sorted(folder.rglob("*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0
        masks[path.name] = (mask.shape, np.packbits(mask))
    return masks


def difference(masks: Masks, reference: Masks) -> str:
    """The share of pixels that differ, in words; and the share that the reference's masks take."""
    if masks.keys() != reference.keys():
        raise SystemExit(
            f"{len(masks)} masks instead of {len(reference)}: {sorted(masks.keys() ^ reference.keys())[:3]}"
        )
    unlike = sum(np.unpackbits(bits ^ reference[name][1]).sum(dtype=np.int64) for name, (_, bits) in masks.items())
    pixels = sum(int(np.prod(shape)) for shape, _ in reference.values())
    return f"{unlike / pixels:.4%}"


def share_set(masks: Masks) -> float:
    """How much of the pictures the masks take: 0 or 1 says that they are no test of anything."""
    pixels = sum(int(np.prod(shape)) for shape, _ in masks.values())
    return sum(int(np.unpackbits(bits).sum(dtype=np.int64)) for _, bits in masks.values()) / pixels
