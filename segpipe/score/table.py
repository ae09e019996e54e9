"""Counts and scores as columns of a table, one row per image."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from segpipe.score.counts import COUNTS
from segpipe.score.overlap import dice, iou, miou, miou_foreground

BACKGROUND = "background"


def score_columns(classes: Sequence[str]) -> list[str]:
    """Score and count columns in the report's order: by metric first, then by class, the background last."""
    scores = [f"{metric}_{name}" for metric in ("iou", "dice") for name in classes]
    counts = [f"{count}_{name}" for count in COUNTS for name in classes]
    background = [f"{metric}_{BACKGROUND}" for metric in (*COUNTS, "iou")]
    return ["miou", "miou_foreground", *scores, *counts, *background]


def score_table(image_ids: Sequence[str], counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The scores of n images.

    ``counts`` is int (n, classes + 1, 4) from :mod:`segpipe.score.counts`. Returns a table with the
    columns image_id and :func:`score_columns`, scores float64 and counts int64.
    Raises ValueError where the numbers of images or classes differ.
    """
    if counts.shape != (len(image_ids), len(classes) + 1, len(COUNTS)):
        raise ValueError(f"counts are {counts.shape} for {len(image_ids)} images and {len(classes)} classes")
    values: dict[str, np.ndarray] = {"miou": miou(counts), "miou_foreground": miou_foreground(counts)}
    ious, dices = iou(counts), dice(counts)
    for index, name in enumerate([*classes, BACKGROUND]):
        values |= {f"iou_{name}": ious[:, index], f"dice_{name}": dices[:, index]}
        values |= {f"{count}_{name}": counts[:, index, place] for place, count in enumerate(COUNTS)}
    ordered = {name: values[name] for name in score_columns(classes)}
    return pd.DataFrame({"image_id": pd.Series(list(image_ids), dtype="str"), **ordered})
