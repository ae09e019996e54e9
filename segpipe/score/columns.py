"""The columns of the score table, one row per image: scores and counts, then what is measured beside the counts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from segpipe.config import Score
from segpipe.score.overlap import COUNTS, dice, iou, miou, miou_foreground, precision, recall, relative_area_difference

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["px", "mm"]
BACKGROUND = "background"
OF_COUNTS = {
    "iou": iou,
    "dice": dice,
    "precision": precision,
    "recall": recall,
    "relative_area_difference": relative_area_difference,
}
EMPTY = ("reference_empty", "prediction_empty")


def score_cells(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Metric and class of each column of scores and counts, in the report's order; no class for what is of all.

    By metric first, then by class, the background last.
    """
    of_classes = [(metric, name) for metric in (*OF_COUNTS, *EMPTY, *COUNTS) for name in classes]
    background = [(metric, BACKGROUND) for metric in (*COUNTS, "iou")]
    return [("miou", ""), ("miou_foreground", ""), *of_classes, *background]


def column_name(metric: str, of: str) -> str:
    """The name of a class's column."""
    return f"{metric}_{of}" if of else metric


def score_columns(classes: Sequence[str]) -> list[str]:
    """The columns of :func:`score_cells`."""
    return [column_name(metric, of) for metric, of in score_cells(classes)]


def score_table(image_ids: Sequence[str], counts: np.ndarray, classes: Sequence[str]) -> "pd.DataFrame":
    """The scores of n images.

    ``counts`` is int (n, classes + 1, 4) from :mod:`segpipe.score.overlap`. Returns a table with the
    columns image_id and :func:`score_columns`, scores float64, counts int64, and bool for what is empty.
    Raises ValueError where the numbers of images or classes differ.
    """
    import pandas as pd  # takes long, and the names of columns are looked up whenever the workflow is parsed

    if counts.shape != (len(image_ids), len(classes) + 1, len(COUNTS)):
        raise ValueError(f"counts are {counts.shape} for {len(image_ids)} images and {len(classes)} classes")
    values: dict[str, np.ndarray] = {"miou": miou(counts), "miou_foreground": miou_foreground(counts)}
    of_counts = {metric: function(counts) for metric, function in OF_COUNTS.items()}
    empty = {"reference_empty": counts[..., [0, 2]].sum(-1) == 0, "prediction_empty": counts[..., [0, 1]].sum(-1) == 0}
    numbers = {count: counts[..., place] for place, count in enumerate(COUNTS)}
    for index, name in enumerate([*classes, BACKGROUND]):
        values |= {f"{metric}_{name}": found[:, index] for metric, found in (of_counts | empty | numbers).items()}
    ordered = {name: values[name] for name in score_columns(classes)}
    return pd.DataFrame({"image_id": pd.Series(list(image_ids), dtype="str"), **ordered})


def measured_metrics(score: Score) -> list[str]:
    """The names of what the config asks for, in the report's order; each class has a column ``<metric>_<class>``."""
    units: list[tuple[Unit, list[float]]] = [("px", score.tolerances_px), ("mm", score.tolerances_mm)]
    surface = [name for unit, tolerances in units for name in surface_metrics(unit, tolerances)]
    return [
        *(["boundary_iou"] if score.boundary_iou else []),
        *(surface if score.surface else []),
        *(["brier", "ece"] if score.calibration else []),
        *(["reference_components"] if score.components else []),
    ]


def measured_cells(classes: Sequence[str], score: Score) -> list[tuple[str, str]]:
    """Metric and class of each column: by metric first, then by class."""
    return [(metric, name) for metric in measured_metrics(score) for name in classes]


def measured_columns(classes: Sequence[str], score: Score) -> list[str]:
    """The columns of :func:`measured_cells`."""
    return [column_name(metric, of) for metric, of in measured_cells(classes, score)]


def surface_metrics(unit: Unit, tolerances: Sequence[float]) -> list[str]:
    """The distances between contours in px or mm, and a normalised surface distance for each tolerance."""
    return [f"hd95_{unit}", f"assd_{unit}", *(f"nsd_{tolerance:g}{unit}" for tolerance in tolerances)]
