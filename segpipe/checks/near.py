"""Near duplicates: the same radiograph encoded, scaled, brightened or cropped a little in another way.

Perceptual hashes that differ in few bits find the candidates, among all pairs; a candidate counts if one thumbnail,
moved, scaled and brightened a little, explains the other. A hash alone would take some chest films of two
patients for one (docs/checks.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from segpipe.preprocess.quality import THUMBNAIL

ROWS, COLUMNS = 16, 4096  # pairs compared at a time; what fits a core's cache
LOW_BITS = 5  # of n different bits at most one in so many may be among the 64 lowest frequencies' (a quarter of all)
MARGIN = 2  # pixels at the thumbnail's edge that a crop may have taken away
SIGMA = 1.0
CHANNELS = 64  # thumbnails smoothed at a time; OpenCV 5 takes at most 128 channels


@dataclass(frozen=True)
class Near:
    """For each image the first one before it that is its near duplicate, or -1.

    ``across`` is the same among pairs in different groups (folds); an image with a blank group is in none.
    """

    partner: np.ndarray
    across: np.ndarray


def hash_words(hashes: list[str]) -> np.ndarray:
    """Hexadecimal hashes as uint64 (n, 4)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").reshape(-1, 4).astype(np.uint64)


def find_near(
    words: np.ndarray, thumbnails: np.ndarray, bits: int, fit: float, groups: np.ndarray | None = None
) -> Near:
    """Compare all pairs. The order of the images decides which is a partner, so sort them first.

    ``words`` is uint64 (n, 4), ``thumbnails`` uint8 (n, 32, 32), ``groups`` integer (n,), -1 for none. Memory beyond
    the arguments is a few MB; time grows with the square: 100,000 images take seconds (docs/checks.md).
    """
    near = Near(np.full(len(words), -1), np.full(len(words), -1))
    groups = np.full(len(words), -1) if groups is None else groups
    for first, others in _candidates(words, bits):
        crosses = (groups[others] >= 0) & (groups[first] >= 0) & (groups[others] != groups[first])
        open_ = (near.partner[others] < 0) | (crosses & (near.across[others] < 0))
        others, crosses = others[open_], crosses[open_]
        if not len(others):
            continue
        alike = explained(thumbnails[first], thumbnails[others]) >= fit
        others, crosses = others[alike], crosses[alike]
        near.partner[others] = np.where(near.partner[others] < 0, first, near.partner[others])
        others = others[crosses]
        near.across[others] = np.where(near.across[others] < 0, first, near.across[others])
    return near


def explained(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """R2 of each of ``others``, uint8 (n, 32, 32), as ``first`` moved and scaled a little, with another brightness.

    Least squares on the picture, its square (for clipping and gamma) and its gradients times 1, x, y: one step
    of Lucas and Kanade's registration (1981), which is right for shifts of about a pixel of 32.
    """
    inner = slice(MARGIN, THUMBNAIL - MARGIN)
    smooth = cv2.GaussianBlur(first.astype(np.float32) / 255, (0, 0), SIGMA)
    down, across = np.gradient(smooth)
    y, x = (np.indices(smooth.shape) + 0.5) / (THUMBNAIL / 2) - 1
    terms = [np.ones_like(smooth), smooth, smooth**2, *(g * f for g in (down, across) for f in (1, y, x))]
    basis, _ = np.linalg.qr(np.stack([term[inner, inner].ravel() for term in terms], axis=1).astype(np.float64))
    shares = []
    for start in range(0, len(others), CHANNELS):
        wanted = _blurred(others[start : start + CHANNELS])[inner, inner].reshape(len(basis), -1)
        wanted = wanted - wanted.mean(axis=0)
        total, found = (wanted**2).sum(axis=0), ((basis.T @ wanted) ** 2).sum(axis=0)
        shares.append(np.divide(found, total, out=np.zeros_like(total), where=total > 0))
    return np.concatenate(shares)


def _blurred(thumbnails: np.ndarray) -> np.ndarray:
    """Smoothed thumbnails, float64 (32, 32, n): as channels of one picture, faster than one by one."""
    channels = np.ascontiguousarray(np.moveaxis(thumbnails, 0, -1), np.float32)
    return cv2.GaussianBlur(channels, (0, 0), SIGMA).reshape(channels.shape).astype(np.float64)


def _candidates(words: np.ndarray, bits: int) -> Iterator[tuple[int, np.ndarray]]:
    """Each image with those after it whose hashes differ in at most ``bits`` bits, few of them low, rising."""
    low = np.ascontiguousarray(words[:, 0])
    for start in range(0, len(words), ROWS):
        rows, columns = _close(low, start, bits // LOW_BITS)
        distance = np.bitwise_count(words[rows] ^ words[columns]).sum(axis=1, dtype=np.int64)
        rows, columns = rows[distance <= bits], columns[distance <= bits]
        for row in np.unique(rows):
            yield int(row), np.sort(columns[rows == row])


def _close(low: np.ndarray, start: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (row, later column) with row from ``start`` on whose 64 lowest bits differ in at most ``most``."""
    ours = low[start : start + ROWS, None]
    rows, columns = [], []
    different, counts = np.empty((len(ours), COLUMNS), np.uint64), np.empty((len(ours), COLUMNS), np.uint8)
    for left in range(start, len(low), COLUMNS):
        width = min(COLUMNS, len(low) - left)
        np.bitwise_xor(ours, low[None, left : left + width], out=different[:, :width])
        np.bitwise_count(different, out=counts)  # into what is in the cache already: half the time
        found = np.flatnonzero(counts <= most)
        row, column = np.divmod(found[found % COLUMNS < width], COLUMNS)
        rows.append(row + start)
        columns.append(column + left)
    first, second = np.concatenate(rows), np.concatenate(columns)
    later = second > first
    return first[later], second[later]
