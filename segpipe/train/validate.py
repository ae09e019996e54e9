"""The validation score: mean over images of the per-image MIoU, at the network's resolution."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from segpipe.model.inputs import to_input
from segpipe.preprocess.store import pack_bits
from segpipe.score.counts import counts_from_bits
from segpipe.score.overlap import miou
from segpipe.train.data import Pictures, batches
from segpipe.train.preview import write_preview

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
    for images, masks in batches(Pictures(rows, shards, classes), batch_size, device):
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
