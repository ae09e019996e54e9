"""What is measured on masks as columns of the score table, one row per image."""

from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.score.calibration import brier_score, expected_calibration_error
from segpipe.score.overlap import COUNTS, dice, iou, miou, miou_foreground, precision, recall, relative_area_difference
from segpipe.score.surface import boundary_iou, contour, largest_distance, rim_width, surface_distances

# How many pieces a mask has.


def count_components(mask: np.ndarray) -> int:
    """The pieces of ``mask``, uint8 0 and 1 (rows, columns); pixels that touch at a corner belong together."""
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1 if mask.any() else 0


# Pairs of masks, class by class, cut to what they hold: nothing beyond changes a distance or a piece.


def class_pair(prediction_bits: np.ndarray, reference_bits: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference of class ``index``, uint8 0 and 1, cut to the smallest box that holds both.

    ``prediction_bits`` and ``reference_bits`` are unsigned (rows, columns) with class ``i`` in bit ``i``. Where both
    are empty the box is, too.
    """
    bit = prediction_bits.dtype.type(1 << index)
    left, top, width, height = cv2.boundingRect((((prediction_bits | reference_bits) & bit) != 0).view(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    prediction, reference = (((bits[box] & bit) != 0).view(np.uint8) for bits in (prediction_bits, reference_bits))
    return prediction, reference


# Counts and scores as columns of a table, one row per image.

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


def score_table(image_ids: Sequence[str], counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The scores of n images.

    ``counts`` is int (n, classes + 1, 4) from :mod:`segpipe.score.overlap`. Returns a table with the
    columns image_id and :func:`score_columns`, scores float64, counts int64, and bool for what is empty.
    Raises ValueError where the numbers of images or classes differ.
    """
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


# What is measured on masks beside the counts of pixels, as columns of the score table.

Unit = Literal["px", "mm"]
PIXELS = (1.0, 1.0)


def measured_metrics(score: Score) -> list[str]:
    """The names of what the config asks for, in the report's order; each class has a column ``<metric>_<class>``."""
    units: list[tuple[Unit, list[float]]] = [("px", score.tolerances_px), ("mm", score.tolerances_mm)]
    surface = [name for unit, tolerances in units for name in _of_unit(unit, tolerances)]
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


def measure(
    prediction_bits: np.ndarray,
    reference_bits: np.ndarray,
    spacing: tuple[float, float] | None,
    classes: Sequence[str],
    score: Score,
    probability: Callable[[int], np.ndarray] | None = None,
) -> dict[str, float]:
    """:func:`measured_columns` of one image; distances in mm are NaN where ``spacing`` (row, column) is unknown.

    The masks are unsigned (rows, columns) with class ``i`` in bit ``i``; ``probability`` gives that of class ``i``,
    float (rows, columns), and calibration is NaN without it.
    """
    shape = (prediction_bits.shape[0], prediction_bits.shape[1])
    found: dict[str, float] = {}
    for index, name in enumerate(classes):
        prediction, reference = class_pair(prediction_bits, reference_bits, index)
        of_class: dict[str, float] = {}
        if score.boundary_iou:
            of_class["boundary_iou"] = boundary_iou(prediction, reference, rim_width(shape, score.boundary_width))
        if score.surface:
            of_class |= _surface(prediction, reference, shape, spacing, score)
        if score.calibration and probability:
            of_class |= _calibration(probability(index), reference_bits, index)
        if score.components:
            of_class["reference_components"] = count_components(reference)
        found |= {column_name(metric, name): value for metric, value in of_class.items()}
    return {column: found.get(column, float("nan")) for column in measured_columns(classes, score)}


def _calibration(probability: np.ndarray, reference_bits: np.ndarray, index: int) -> dict[str, float]:
    reference = (reference_bits & reference_bits.dtype.type(1 << index)) != 0
    return {
        "brier": brier_score(probability, reference),
        "ece": expected_calibration_error(probability, reference),
    }


def _of_unit(unit: Unit, tolerances: Sequence[float]) -> list[str]:
    return [f"hd95_{unit}", f"assd_{unit}", *(f"nsd_{tolerance:g}{unit}" for tolerance in tolerances)]


def _surface(
    prediction: np.ndarray,
    reference: np.ndarray,
    shape: tuple[int, int],
    spacing: tuple[float, float] | None,
    score: Score,
) -> dict[str, float]:
    contours = contour(prediction), contour(reference)
    found = _in_unit("px", contours, shape, PIXELS, score.tolerances_px)
    if spacing is None:
        return found | dict.fromkeys(_of_unit("mm", score.tolerances_mm), float("nan"))
    return found | _in_unit("mm", contours, shape, spacing, score.tolerances_mm)


def _in_unit(
    unit: Unit,
    contours: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int],
    spacing: tuple[float, float],
    tolerances: Sequence[float],
) -> dict[str, float]:
    """HD95, ASSD and the NSDs, with the values that stand for empty contours (docs/metrics.md)."""
    names, empty = _of_unit(unit, tolerances), [not len(each) for each in contours]
    if any(empty):
        far = 0.0 if all(empty) else largest_distance(shape, spacing)
        return dict(zip(names, [far, far, *[float(all(empty))] * len(tolerances)], strict=True))
    distances = surface_distances(*contours, spacing)
    values = [distances.hd95(), distances.assd(), *map(distances.nsd, tolerances)]
    return dict(zip(names, values, strict=True))
