"""Exact and near duplicates: the same radiograph encoded, scaled, brightened or cropped a little in another way.

Exact ones have the hash of the stored picture in common. For near ones all pairs of perceptual hashes are compared;
those that differ in few bits are candidates, and count if one thumbnail, moved, scaled and brightened a little,
explains the other. A hash alone would take some chest films of two patients for one (docs/checks.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from segpipe.config import Checks
from segpipe.preprocess.quality import THUMBNAIL

ROWS, COLUMNS = 16, 4096  # pairs of hashes compared at a time; what fits a core's cache
LOW_BITS = 5  # of n different bits at most one in so many may be among the 64 lowest frequencies' (a quarter of all)
MARGIN = 2  # pixels at the thumbnail's edge that a crop may have taken away
INNER = slice(MARGIN, THUMBNAIL - MARGIN)
SIDE = THUMBNAIL - 2 * MARGIN
SIGMA = 1.0
CHANNELS = 64  # thumbnails smoothed at a time; OpenCV 5 takes at most 128 channels
LOWEST = 6  # frequencies along each side that a sketch has; the first of all, the mean, is left out
SLACK = 1e-5  # of the variance; float32 rounds more finely


def find_duplicates(images: pd.DataFrame, checks: Checks) -> pd.DataFrame:
    """For each image the ids of its originals: ``duplicate_of``, ``near_duplicate_of``, ``near_across``.

    ``images`` holds image_id, status, ``picture`` (hash of the stored picture, so that a copy in another format
    counts), the fingerprints and, if folds are decided, ``fold``. The original is the first labelled image with
    that picture, else the first. Near duplicates are looked for among different pictures; ``near_across`` is one that
    is labelled in another fold. All are blank where there is none. The order of the rows does not matter.
    """
    ordered = images.assign(_later=images["status"] != "labelled").sort_values(["_later", "image_id"])
    known = ordered[ordered["picture"].notna()]
    first = known.groupby("picture", sort=False)["image_id"].transform("first")
    found = pd.DataFrame(
        {"duplicate_of": first.where(first != known["image_id"], ""), "near_duplicate_of": "", "near_across": ""}
    )
    originals = known[first == known["image_id"]]
    if checks.near_duplicates and len(originals) > 1:
        near = find_near(
            hash_words(originals["perceptual_hash"].tolist()),
            thumbnails_of(originals),
            checks.near_duplicates,
            checks.near_duplicate_fit,
            _groups(originals),
        )
        ids = np.append(originals["image_id"].to_numpy(object), "")  # index -1: none
        found.loc[originals.index, "near_duplicate_of"] = ids[near.partner]
        found.loc[originals.index, "near_across"] = ids[near.across]
    return found.reindex(images.index).fillna("")


def thumbnails_of(images: pd.DataFrame) -> np.ndarray:
    """The thumbnails of rows that all have one, uint8 (n, 32, 32)."""
    return np.frombuffer(b"".join(images["thumbnail"]), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def _groups(images: pd.DataFrame) -> np.ndarray:
    """Folds of labelled images as numbers, -1 for the others."""
    if "fold" not in images:
        return np.full(len(images), -1)
    folds = images["fold"].where(images["status"] == "labelled", "")
    numbers: np.ndarray = pd.factorize(folds.where(folds != "", None))[0]
    return numbers


@dataclass(frozen=True)
class Near:
    """For each image the first one before it that is its near duplicate, or -1.

    ``across`` is the same among pairs in different groups (folds); an image with a blank group is in none.
    """

    partner: np.ndarray
    across: np.ndarray


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


def hash_words(hashes: list[str]) -> np.ndarray:
    """Hexadecimal hashes as uint64 (n, 4)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").reshape(-1, 4).astype(np.uint64)


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


def explained(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """R2 of each of ``others``, uint8 (n, 32, 32), as ``first`` moved and scaled a little, with another brightness.

    Least squares on :func:`terms`.
    """
    basis, _ = np.linalg.qr(terms(blurred(first[np.newaxis])).reshape(-1, SIDE * SIDE).T)
    shares = []
    for start in range(0, len(others), CHANNELS):
        wanted = centred(blurred(others[start : start + CHANNELS])).T
        total, found = (wanted**2).sum(axis=0), ((basis.T @ wanted) ** 2).sum(axis=0)
        shares.append(np.divide(found, total, out=np.zeros_like(total), where=total > 0))
    return np.concatenate(shares)


def terms(smooth: np.ndarray) -> np.ndarray:
    """Of smoothed thumbnails, float64 (n, 32, 32), what explains others: float64 (n, 9, 28, 28).

    The picture, its square (for clipping and gamma) and its gradients times 1, x, y: one step of Lucas and Kanade's
    registration (1981), which is right for shifts of about a pixel of 32.
    """
    down, across = np.gradient(smooth, axis=(1, 2))
    y, x = (np.indices(smooth.shape[1:]) + 0.5) / (THUMBNAIL / 2) - 1
    found = [np.ones_like(smooth), smooth, smooth**2, *(g * f for g in (down, across) for f in (1, y, x))]
    return np.stack(found, axis=1)[:, :, INNER, INNER]


def centred(smooth: np.ndarray) -> np.ndarray:
    """The inner pixels of smoothed thumbnails, float64 (n, 32, 32), less their means: float64 (n, 784)."""
    inner = smooth[:, INNER, INNER].reshape(len(smooth), -1)
    return np.asarray(inner - inner.mean(axis=1, keepdims=True))


def blurred(thumbnails: np.ndarray) -> np.ndarray:
    """Thumbnails, uint8 (n, 32, 32), n at most 64, smoothed: float64 of that shape, from 0 to 1.

    As channels of one picture, which is faster than one by one.
    """
    channels = np.ascontiguousarray(np.moveaxis(thumbnails, 0, -1), np.float32) / np.float32(255)
    smooth = cv2.GaussianBlur(channels, (0, 0), SIGMA).reshape(channels.shape).astype(np.float64)
    return np.ascontiguousarray(np.moveaxis(smooth, -1, 0))


class Sketches:
    """A bound on :func:`explained` that refuses most pairs seven times as fast: the same fit on 35 numbers of each.

    What a least squares fit leaves over is at least what it leaves over in any subspace. Here that is spanned by the
    lowest frequencies, where smoothed thumbnails (uint8 (n, 32, 32)) have nearly all their variance. So whatever the
    sketch refuses, the fit would.
    """

    def __init__(self, thumbnails: np.ndarray) -> None:
        self._thumbnails, self._space = thumbnails, _low_frequencies()
        self._wanted = np.empty((len(thumbnails), self._space.shape[1]), np.float32)
        self._total = np.empty(len(thumbnails))
        for start in range(0, len(thumbnails), CHANNELS):
            part = slice(start, start + CHANNELS)
            inner = centred(blurred(thumbnails[part]))
            self._wanted[part], self._total[part] = inner @ self._space, (inner**2).sum(axis=1)
        self._start, self._bases = -CHANNELS, np.empty(0)

    def allow(self, first: int, others: np.ndarray, fit: float) -> np.ndarray:
        """Whether ``first`` may explain each of ``others`` (indices, integer (n,)) to ``fit``: bool (n,).

        Call it with rising ``first``, since what explains others is made for a block of images at a time.
        """
        wanted, basis = self._wanted[others], self._basis(first)
        left = (wanted**2).sum(axis=1) - ((wanted @ basis) ** 2).sum(axis=1)
        return np.asarray(left <= (1 - fit + SLACK) * self._total[others])

    def _basis(self, index: int) -> np.ndarray:
        if not self._start <= index < self._start + CHANNELS:
            block = terms(blurred(self._thumbnails[index : index + CHANNELS]))
            low = block.reshape(len(block), -1, SIDE * SIDE)[:, 1:] @ self._space  # without the constant
            self._start, self._bases = index, np.linalg.qr(low.transpose(0, 2, 1))[0].astype(np.float32)
        return np.asarray(self._bases[index - self._start])


def _low_frequencies() -> np.ndarray:
    """Orthonormal cosines (DCT-II) of a picture of 28 x 28, float64 (784, 35)."""
    steps = np.arange(LOWEST)[:, np.newaxis] * (np.arange(SIDE) + 0.5) * np.pi / SIDE
    waves = np.cos(steps) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    both = np.einsum("ai,bj->abij", waves, waves).reshape(LOWEST**2, -1)
    return np.ascontiguousarray(both[1:].T)
