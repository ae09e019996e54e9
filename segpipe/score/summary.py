"""The whole report in a few numbers: the content of summary.json.

Each image counts alike for a mean, each pixel for what is pooled; docs/metrics.md says which to use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.score.columns import BACKGROUND, OF_COUNTS, measured_metrics
from segpipe.score.intervals import LEVEL, MOST_DRAWS, bca_intervals, draws_for, ratio, sums_by_patient
from segpipe.score.overlap import COUNTS, dice, iou

STATUSES = ("scored", "unlabelled", "quarantined", "training")
METHOD = "BCa bootstrap over patients"
_WORST = 3  # images named
_QUARTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}
_WEIGHTS = {"iou": 1, "dice": 2}  # of tp, beside one of fp and of fn


def metric_columns(classes: Sequence[str], score: Score) -> list[str]:
    """The columns of scores that are summed up, in the report's order."""
    of_class = [metric for metric in (*OF_COUNTS, *measured_metrics(score)) if not metric.endswith("components")]
    return ["miou", "miou_foreground", *(f"{m}_{name}" for m in of_class for name in classes), f"iou_{BACKGROUND}"]


def patient_numbers(rows: pd.DataFrame) -> np.ndarray:
    """The number of each image's patient, 0 to n - 1; an image without one is a patient of its own."""
    keys = rows["patient"].where(rows["patient"] != "", "image " + rows["image_id"])
    return np.asarray(np.unique(keys.to_numpy(str), return_inverse=True)[1])


def of_images(
    rows: pd.DataFrame, metrics: Sequence[str], seed: int, most_draws: int = MOST_DRAWS
) -> dict[str, dict[str, Any]]:
    """Of each metric the mean, its 95 % interval ``low`` to ``high``, median, quartiles, and ``n`` images that have it.

    ``rows`` are scored rows of the report. None stands for a figure of no images, and for the interval of a metric that
    one patient has.
    """
    if rows.empty:
        return {name: dict.fromkeys(["mean", "low", "high", *_QUARTILES], None) | {"n": 0} for name in metrics}
    values = np.stack([rows[name].to_numpy(np.float64, na_value=np.nan) for name in metrics])
    known, patients = ~np.isnan(values), patient_numbers(rows)
    sums, sizes = (sums_by_patient(each, patients) for each in (np.where(known, values, 0), known))
    ends = bca_intervals(sums, sizes, seed, draws_for(sums.shape[1], most_draws))
    low, high = np.where((sizes > 0).sum(axis=1) > 1, ends, np.nan)
    found = {}
    for index, name in enumerate(metrics):
        there = values[index, known[index]]
        quartiles = {
            key: _number(np.quantile(there, share)) if there.size else None for key, share in _QUARTILES.items()
        }
        mean = _number(there.mean()) if there.size else None
        found[name] = {
            "mean": mean,
            "low": _number(low[index]),
            "high": _number(high[index]),
            **quartiles,
            "n": there.size,
        }
    return found


def pooled(
    rows: pd.DataFrame, classes: Sequence[str], seed: int, most_draws: int = MOST_DRAWS
) -> dict[str, dict[str, float | None]]:
    """``pooled``, ``low`` and ``high`` from sums of counts: ``iou_<class>``, ``dice_<class>`` and ``miou``.

    The background is among the classes; ``miou`` is the mean of their IoUs.
    """
    names = [*classes, BACKGROUND]
    columns = [*(f"{metric}_{name}" for metric in _WEIGHTS for name in names), "miou"]
    if rows.empty:
        return {column: {"pooled": None, "low": None, "high": None} for column in columns}
    tp, fp, fn = (rows[[f"{count}_{name}" for name in names]].to_numpy(np.float64).T for count in ("tp", "fp", "fn"))
    parts = np.concatenate([weight * tp for weight in _WEIGHTS.values()])
    wholes = np.concatenate([weight * tp + fp + fn for weight in _WEIGHTS.values()])
    patients = patient_numbers(rows)
    parts, wholes = sums_by_patient(parts, patients), sums_by_patient(wholes, patients)

    def with_miou(ratios: np.ndarray) -> np.ndarray:
        scores = np.where(np.isnan(ratios), 1.0, ratios)  # empty in all predictions and references
        return np.concatenate([scores, scores[..., : len(names)].mean(axis=-1, keepdims=True)], axis=-1)

    whole = with_miou(ratio(parts.sum(axis=1), wholes.sum(axis=1)))
    ends = bca_intervals(parts, wholes, seed, draws_for(parts.shape[1], most_draws), with_miou)
    keys = ("pooled", "low", "high")
    figures = zip(columns, zip(whole, *ends, strict=True), strict=True)
    return {column: dict(zip(keys, map(_number, values), strict=True)) for column, values in figures}


def _number(value: Any) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


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
