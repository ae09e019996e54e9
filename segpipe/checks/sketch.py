"""A bound on :func:`segpipe.checks.fit.explained` from a few numbers of each thumbnail, to refuse most pairs quickly.

What a least squares fit leaves over is at least what it leaves over in any subspace. Here that is spanned by the lowest
frequencies, where smoothed thumbnails have nearly all their variance. So whatever the sketch refuses, the fit would.
"""

import numpy as np

from segpipe.checks.fit import CHANNELS, SIDE, blurred, centred, terms

LOWEST = 6  # frequencies along each side; the first of all, the mean, is left out
SLACK = 1e-5  # of the variance; float32 rounds more finely


class Sketches:
    """Sketches of thumbnails, uint8 (n, 32, 32): 35 numbers each, and what they explain, made as it is needed."""

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
