"""How well one thumbnail, moved, scaled and brightened a little, explains another."""

import cv2
import numpy as np

from segpipe.preprocess.quality import THUMBNAIL

MARGIN = 2  # pixels at the thumbnail's edge that a crop may have taken away
INNER = slice(MARGIN, THUMBNAIL - MARGIN)
SIDE = THUMBNAIL - 2 * MARGIN
SIGMA = 1.0
CHANNELS = 64  # thumbnails smoothed at a time; OpenCV 5 takes at most 128 channels


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
