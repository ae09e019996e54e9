"""What a checkpoint belongs to: a hash of everything that decides the weights."""

import hashlib

import pandas as pd

from segpipe.model.versions import versions
from segpipe.stages import TrainStage, stage_text


def contract(stage: TrainStage, model: str, train_rows: pd.DataFrame, val_rows: pd.DataFrame, device: str) -> str:
    """A hash of all that decides the result: config, pictures and masks, roles, kind of device, versions."""
    neutral = stage.train.model_copy(update={"workers": 0, "preview_every": 0})
    parts = [
        stage_text(stage.model_copy(update={"train": neutral})),
        model,
        device,
        *versions(),
    ]
    parts += [" ".join(rows["image_id"] + ":" + rows["content"]) for rows in (train_rows, val_rows)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
