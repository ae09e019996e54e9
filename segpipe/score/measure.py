"""What is measured on masks beside the counts of pixels, as columns of the score table."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from segpipe.config import Score
from segpipe.score.boundary import boundary_iou, rim_width
from segpipe.score.calibration import brier_score, expected_calibration_error
from segpipe.score.components import count_components
from segpipe.score.crop import class_pair
from segpipe.score.surface import contour, largest_distance, surface_distances
from segpipe.score.table import column_name

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
