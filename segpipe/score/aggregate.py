"""The whole report in a few numbers: the content of summary.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.score.bca import LEVEL
from segpipe.score.counts import COUNTS
from segpipe.score.distribution import metric_columns, of_images, pooled
from segpipe.score.overlap import dice, iou
from segpipe.score.table import BACKGROUND

STATUSES = ("scored", "unlabelled", "quarantined", "training")
METHOD = "BCa bootstrap over patients"
_WORST = 3


def summarise(table: pd.DataFrame, classes: Sequence[str], score: Score, seed: int = 0) -> dict[str, Any]:
    """Numbers of images, and scores over the rows with status ``scored``.

    ``table`` is the report (:func:`segpipe.report.table.build_report`). The result holds only what JSON
    can: None stands for a figure of no images. Quartiles interpolate linearly.
    """
    scored = table[table["status"] == "scored"]
    metrics = metric_columns(classes, score)
    sums = pooled(scored, classes, seed)
    of_classes = {name: _of_class(scored, name, sums) for name in [*classes, BACKGROUND]}
    in_folds = scored[scored["fold"] != ""].groupby("fold", sort=True)
    statuses = {status: int((table["status"] == status).sum()) for status in STATUSES}
    return {
        "images": {"total": len(table), **statuses},
        "patients": {"total": _patients(table), "scored": _patients(scored)},
        "intervals": {"method": METHOD, "level": LEVEL, "patients": _patients(scored)},
        "metrics": of_images(scored, metrics, seed),
        "classes": of_classes,
        "miou_pooled": sums["miou"]["pooled"],
        "miou_pooled_low": sums["miou"]["low"],
        "miou_pooled_high": sums["miou"]["high"],
        "folds": {str(fold): _of_fold(rows, metrics) for fold, rows in in_folds},
        "worst": _worst(scored),
        "quarantined": _quarantined(table),
    }


def _patients(table: pd.DataFrame) -> int:
    return int(table.loc[table["patient"] != "", "patient"].nunique())


def _mean(values: pd.Series) -> float | None:
    known = values.dropna().to_numpy(np.float64)
    return float(known.mean()) if known.size else None


def _of_class(
    scored: pd.DataFrame, name: str, sums: Mapping[str, Mapping[str, float | None]]
) -> dict[str, float | int | None]:
    """Mean over images (each image counts alike) and pooled (each pixel counts alike)."""
    counts = np.stack([scored[f"{count}_{name}"].to_numpy(np.int64) for count in COUNTS], axis=-1)
    found: dict[str, float | int | None] = {}
    for metric, values in (("iou", iou(counts)), ("dice", dice(counts))):
        found[f"{metric}_mean"] = _mean(pd.Series(values))
        found[f"{metric}_pooled"] = sums[f"{metric}_{name}"]["pooled"]
        found |= {f"{metric}_pooled_{end}": sums[f"{metric}_{name}"][end] for end in ("low", "high")}
    found["reference_empty"] = int((counts[:, [0, 2]].sum(axis=1) == 0).sum())
    found["prediction_empty"] = int((counts[:, [0, 1]].sum(axis=1) == 0).sum())
    return found


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
