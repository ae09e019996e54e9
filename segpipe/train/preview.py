"""Preview pictures while training: image | mask | prediction for a few validation images."""

from pathlib import Path

import cv2
import numpy as np

from segpipe.io.atomic import write_bytes

# Okabe and Ito's colours, which colour-blind readers tell apart; blue-green-red as OpenCV stores them.
COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (167, 121, 204), (66, 228, 240), (0, 94, 213))
SIDE = 256


def write_preview(path: Path, images: np.ndarray, masks: np.ndarray, predictions: np.ndarray) -> None:
    """One PNG, a row per image.

    ``images`` (n, size, size) float in [0, 1]; ``masks`` and ``predictions`` (n, classes, size, size) bool.
    """
    rows = []
    for image, mask, prediction in zip(images, masks, predictions, strict=True):
        grey = np.repeat(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        panels = [grey, _tint(grey, mask), _tint(grey, prediction)]
        rows.append(np.hstack([cv2.resize(panel, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for panel in panels]))
    written, png = cv2.imencode(".png", np.vstack(rows))
    assert written
    write_bytes(path, png.tobytes())


def _tint(grey: np.ndarray, mask: np.ndarray) -> np.ndarray:
    tinted = grey.astype(np.float32)
    for index, channel in enumerate(mask):
        tinted[channel] = 0.6 * tinted[channel] + 0.4 * np.array(COLOURS[index % len(COLOURS)], np.float32)
    return np.rint(tinted).astype(np.uint8)
