"""The page's small tables, ready to be shown: rows of texts and of numbers that the template rounds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.report.findings import quarantined_by_cause
from segpipe.score.table import BACKGROUND

MOST_ROWS = 50  # of duplicates and reasons; the rest is in the case browser


def class_rows(table: pd.DataFrame, summary: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """One row per class and the background, with the quartiles and whiskers of IoU for the drawn strip.

    Whiskers reach the last value within 1.5 interquartile ranges of the box (Tukey 1977).
    """
    scored = table[table["status"] == "scored"]
    rows = []
    for name in [*classes, BACKGROUND]:
        values = scored[f"iou_{name}"].dropna()
        if values.empty:
            continue
        low, middle, high = values.quantile([0.25, 0.5, 0.75])
        reach = 1.5 * (high - low)
        inside = values[(values >= low - reach) & (values <= high + reach)]
        box = {"q1": low, "median": middle, "q3": high, "low": inside.min(), "high": inside.max(), "min": values.min()}
        rows.append({"name": name, "n": len(values), **summary["classes"].get(name, {}), **box})
    return rows


def fold_rows(table: pd.DataFrame, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Images, patients and mean scores of each fold."""
    patients = table[table["status"] == "scored"].groupby("fold")["patient"].nunique()
    return [
        {"fold": fold, "n": found["n"], "patients": int(patients.get(fold, 0)), "miou": found.get("miou_mean"),
         "miou_foreground": found.get("miou_foreground_mean")}
        for fold, found in summary.get("folds", {}).items()
    ]  # fmt: skip


def reason_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Quarantined images by cause, the commonest first; the reason is that of the first image."""
    return [
        {"reason": rows["reason"].iloc[0], "n": len(rows), "images": [str(name) for name in rows["image_id"][:3]]}
        for rows in quarantined_by_cause(table)[:MOST_ROWS]
    ]


def duplicate_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Images that show what an earlier one shows, exact copies first."""
    rows = []
    for kind in ("duplicate_of", "near_duplicate_of"):
        copies = table[table[kind].astype(str) != ""]
        rows += [
            {"kind": kind, "image_id": str(name), "of": str(of)}
            for name, of in zip(copies["image_id"], copies[kind], strict=True)
        ]
    return rows[:MOST_ROWS]


def group_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The groups of summary.json as texts, fractions with three decimals; none where there are none."""
    return [
        {key: f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
         for key, value in row.items()}
        for row in summary.get("groups", [])
    ]  # fmt: skip


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a small CSV as texts; none where it is missing."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=200)
    return [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]


def interval(summary: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """The 95 % interval of a mean in summary.json, if it has one."""
    found = summary["metrics"].get(name, {})
    if found.get("low") is None or found.get("high") is None:
        return None
    return float(found["low"]), float(found["high"])
