"""The whole report in a few numbers: the content of summary.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from segpipe.score.counts import COUNTS
from segpipe.score.overlap import dice, iou
from segpipe.score.table import BACKGROUND

STATUSES = ("scored", "unlabelled", "quarantined", "training")
_WORST = 3


def summarise(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Numbers of images, and scores over the rows with status ``scored``.

    ``table`` is the report (:func:`segpipe.report.table.build_report`). The result holds only what JSON
    can: None stands for a figure of no images. Quartiles interpolate linearly.
    """
    scored = table[table["status"] == "scored"]
    per_class = [f"{metric}_{name}" for metric in ("iou", "dice") for name in classes]
    metrics = ["miou", "miou_foreground", *per_class, f"iou_{BACKGROUND}"]
    of_classes = {name: _of_class(scored, name) for name in [*classes, BACKGROUND]}
    in_folds = scored[scored["fold"] != ""].groupby("fold", sort=True)
    statuses = {status: int((table["status"] == status).sum()) for status in STATUSES}
    return {
        "images": {"total": len(table), **statuses},
        "patients": {"total": _patients(table), "scored": _patients(scored)},
        "metrics": {name: _distribution(scored[name]) for name in metrics},
        "classes": of_classes,
        "miou_pooled": _mean(pd.Series([scores["iou_pooled"] for scores in of_classes.values()], dtype="float64")),
        "folds": {str(fold): _of_fold(rows, metrics) for fold, rows in in_folds},
        "worst": _worst(scored),
        "quarantined": _quarantined(table),
    }


def _patients(table: pd.DataFrame) -> int:
    return int(table.loc[table["patient"] != "", "patient"].nunique())


def _distribution(values: pd.Series) -> dict[str, float | int | None]:
    low, middle, high = (_quantile(values, share) for share in (0.25, 0.5, 0.75))
    return {"mean": _mean(values), "median": middle, "q1": low, "q3": high, "n": int(values.count())}


def _mean(values: pd.Series) -> float | None:
    known = values.dropna().to_numpy(np.float64)
    return float(known.mean()) if known.size else None


def _quantile(values: pd.Series, share: float) -> float | None:
    known = values.dropna().to_numpy(np.float64)
    return float(np.quantile(known, share)) if known.size else None


def _of_class(scored: pd.DataFrame, name: str) -> dict[str, float | None]:
    """Mean over images (each image counts alike) and pooled (each pixel counts alike)."""
    pooled = np.array([scored[f"{count}_{name}"].sum() for count in COUNTS], np.int64)
    counts = np.stack([scored[f"{count}_{name}"].to_numpy(np.int64) for count in COUNTS], axis=-1)
    return {
        "iou_mean": _mean(scored[f"iou_{name}"]),
        "iou_pooled": float(iou(pooled)) if len(scored) else None,
        "dice_mean": _mean(pd.Series(dice(counts))),
        "dice_pooled": float(dice(pooled)) if len(scored) else None,
    }


def _of_fold(rows: pd.DataFrame, metrics: Sequence[str]) -> dict[str, float | int | None]:
    return {"n": len(rows), **{f"{name}_mean": _mean(rows[name]) for name in metrics}}


def _worst(scored: pd.DataFrame) -> list[dict[str, Any]]:
    lowest = scored.sort_values(["miou", "image_id"]).head(_WORST)
    pairs = zip(lowest["image_id"], lowest["miou"], strict=True)
    return [{"image_id": str(name), "miou": float(value)} for name, value in pairs]


def _quarantined(table: pd.DataFrame) -> list[dict[str, str]]:
    rows = table[table["status"] == "quarantined"]
    pairs = zip(rows["image_id"], rows["reason"], strict=True)
    return [{"image_id": str(name), "reason": str(reason)} for name, reason in pairs]
