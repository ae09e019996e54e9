"""Images that fit the set better when turned or mirrored."""

import numpy as np

from segpipe.preprocess.quality import THUMBNAIL

FEWEST = 10  # images; fewer have no usual orientation
ROUNDS = 3  # the mean is made again without those that did not fit it
LEAST_FIT = 0.3  # correlation; a picture that fits in no orientation, such as a negative, is not a turned one
LEAST_USUAL = 0.5  # the median of the best correlations; below, the images have no common look and no orientation
CHUNK = 1024


def orientation_gain(thumbnails: np.ndarray, gain: float) -> np.ndarray:
    """How much better each thumbnail correlates with the others' mean in another of the 8 orientations.

    ``thumbnails`` is uint8 (n, 32, 32), in a fixed order. The result is float64 (n,), negative where the image lies as
    most do, at most 0 where it fits in no orientation. Those above ``gain`` are left out of the mean in the
    next of three rounds. The majority decides what is upright. NaN for few images, and for sets of unlike ones.
    """
    count = len(thumbnails)
    if count < FEWEST:
        return np.full(count, np.nan)
    usual, gains = np.ones(count, bool), np.zeros(count)
    for _ in range(ROUNDS):
        gains, fits = _gains(thumbnails, usual)
        usual = gains < gain
        if usual.sum() < FEWEST or np.median(fits) < LEAST_USUAL:
            return np.full(count, np.nan)
    rounded: np.ndarray = gains.round(4)
    return rounded


def turned(picture: np.ndarray) -> list[np.ndarray]:
    """The last two axes in the 8 orientations of a square, the first as it is."""
    mirrored = np.swapaxes(picture, -1, -2)
    return [np.rot90(side, quarter, axes=(-2, -1)) for side in (picture, mirrored) for quarter in range(4)]


def _gains(thumbnails: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation in another orientation, less that in its own, and the better of the two.

    The image itself is left out of the mean.

    einsum without BLAS: sums in a fixed order, whatever the number of threads.
    """
    total = np.zeros((THUMBNAIL, THUMBNAIL))
    for start in range(0, len(thumbnails), CHUNK):
        total += _unit(thumbnails[start : start + CHUNK])[usual[start : start + CHUNK]].sum(axis=0)
    gains, fits_best = np.empty(len(thumbnails)), np.empty(len(thumbnails))
    for start in range(0, len(thumbnails), CHUNK):
        part = slice(start, start + CHUNK)
        units = _unit(thumbnails[part])
        others = total - units * usual[part, None, None]
        others /= np.maximum(np.linalg.norm(others, axis=(1, 2), keepdims=True), 1e-9)
        fits = np.stack([np.einsum("nij,nij->n", side, others) for side in turned(units)])
        best = fits[1:].max(axis=0)
        gains[part] = np.where(best >= LEAST_FIT, best - fits[0], np.minimum(best - fits[0], 0))
        fits_best[part] = np.maximum(best, fits[0])
    return gains, fits_best


def _unit(thumbnails: np.ndarray) -> np.ndarray:
    """Mean 0 and length 1, float64; zeros for a flat one."""
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    unit: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-9)
    return unit
