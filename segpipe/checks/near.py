"""Near duplicates: the same radiograph encoded, scaled, brightened or cropped a little in another way.

Perceptual hashes that differ in few bits find the candidates, among all pairs; a candidate counts if one thumbnail,
moved, scaled and brightened a little, explains the other. A hash alone would take some chest films of two
patients for one (docs/checks.md). Most candidates are refused by a sketch of the fit (:mod:`segpipe.checks.sketch`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segpipe.checks.fit import explained
from segpipe.checks.sketch import Sketches

ROWS, COLUMNS = 16, 4096  # pairs compared at a time; what fits a core's cache
LOW_BITS = 5  # of n different bits at most one in so many may be among the 64 lowest frequencies' (a quarter of all)


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
    the arguments is 300 bytes an image; time grows with the square: 100,000 images take seconds (docs/checks.md).
    """
    near = Near(np.full(len(words), -1), np.full(len(words), -1))
    groups = np.full(len(words), -1) if groups is None else groups
    sketches = Sketches(thumbnails)
    for first, others in _candidates(words, bits):
        crosses = (groups[others] >= 0) & (groups[first] >= 0) & (groups[others] != groups[first])
        open_ = (near.partner[others] < 0) | (crosses & (near.across[others] < 0))
        others, crosses = others[open_], crosses[open_]
        possible = sketches.allow(first, others, fit)
        others, crosses = others[possible], crosses[possible]
        if not len(others):
            continue
        alike = explained(thumbnails[first], thumbnails[others]) >= fit
        others, crosses = others[alike], crosses[alike]
        near.partner[others] = np.where(near.partner[others] < 0, first, near.partner[others])
        others = others[crosses]
        near.across[others] = np.where(near.across[others] < 0, first, near.across[others])
    return near


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
