"""The validation score, the mean of the images' MIoU at the network's resolution, and a few pictures of it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from segpipe.files.atomic import write_bytes
from segpipe.models.device import to_input
from segpipe.preprocess.store import pack_bits
from segpipe.score.overlap import counts_from_bits, miou
from segpipe.train.data import ShardDataset, batches

# Okabe and Ito's colours, which colour-blind readers tell apart; blue-green-red as OpenCV stores them.
COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (167, 121, 204), (66, 228, 240), (0, 94, 213))
SIDE = 256
PREVIEWS = 4


@torch.no_grad()
def validation_miou(
    network: nn.Module,
    rows: pd.DataFrame,
    shards: Path,
    classes: int,
    batch_size: int,
    device: torch.device,
    preview: Path | None = None,
    between: Callable[[], None] = lambda: None,
) -> float:
    """Evaluate in float32; with ``preview``, also draw the first images there. ``between`` is called at each batch.

    NaN where the network gives values that are no numbers: cut at 0.5 they would pass for background.
    """
    network.eval()
    counts: list[np.ndarray] = []
    shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for images, masks in batches(ShardDataset(rows, shards, classes), batch_size, device):
        between()
        logits = network(to_input(images))
        if not logits.isfinite().all():
            return float("nan")
        predictions, references = (logits > 0).cpu().numpy(), masks.cpu().numpy() > 0
        for image, reference, prediction in zip(images.cpu().numpy(), references, predictions, strict=True):
            counts.append(counts_from_bits(pack_bits(prediction), pack_bits(reference), classes))
            if len(shown) < PREVIEWS:
                shown.append((image[0], reference, prediction))
    if preview:
        write_preview(preview, *(np.stack(part) for part in zip(*shown, strict=True)))
    return float(np.mean(miou(np.stack(counts))))


def write_preview(path: Path, images: np.ndarray, masks: np.ndarray, predictions: np.ndarray) -> None:
    """One PNG, a row per image: the image, its mask, its prediction.

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
