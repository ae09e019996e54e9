"""What is measured on a pair of masks beside the counts of pixels: distances, rims, calibration, pieces.

Each class is cut to the box that holds it, since nothing beyond changes a distance or a piece.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from segpipe.config import Score
from segpipe.score.calibration import brier_score, expected_calibration_error
from segpipe.score.columns import Unit, column_name, measured_columns, surface_metrics
from segpipe.score.overlap import count_components
from segpipe.score.surface import boundary_iou, contour, largest_distance, rim_width, surface_distances

PIXELS = (1.0, 1.0)


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
        return found | dict.fromkeys(surface_metrics("mm", score.tolerances_mm), float("nan"))
    return found | _in_unit("mm", contours, shape, spacing, score.tolerances_mm)


def _in_unit(
    unit: Unit,
    contours: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int],
    spacing: tuple[float, float],
    tolerances: Sequence[float],
) -> dict[str, float]:
    """HD95, ASSD and the NSDs, with the values that stand for empty contours (docs/metrics.md)."""
    names, empty = surface_metrics(unit, tolerances), [not len(each) for each in contours]
    if any(empty):
        far = 0.0 if all(empty) else largest_distance(shape, spacing)
        return dict(zip(names, [far, far, *[float(all(empty))] * len(tolerances)], strict=True))
    distances = surface_distances(*contours, spacing)
    values = [distances.hd95(), distances.assd(), *map(distances.nsd, tolerances)]
    return dict(zip(names, values, strict=True))
