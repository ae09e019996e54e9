"""What the columns of scores and counts mean."""

import re
from collections.abc import Sequence

from segpipe.config import Score
from segpipe.report.column import Column
from segpipe.score.measure import measured_cells
from segpipe.score.table import BACKGROUND, column_name, score_cells

_COUNTS = {
    "tp": "pixels in prediction and reference",
    "fp": "pixels in the prediction only",
    "fn": "pixels in the reference only",
    "tn": "pixels in neither",
    "reference_components": "pieces of the reference",
}
_SCORES = {
    "miou": "mean IoU over the classes and the background",
    "miou_foreground": "mean IoU over the classes",
    "iou": "intersection over union",
    "dice": "Dice similarity coefficient",
    "precision": "share of the prediction that is in the reference",
    "recall": "share of the reference that is in the prediction",
    "brier": "Brier score: mean squared difference of probability and reference",
    "ece": "expected calibration error: mean difference of probability and frequency, 15 bins",
    "boundary_iou": "IoU of the rims, which are score.boundary_width wide",
}
_NUMBERS = {
    "relative_area_difference": "area of the prediction over the reference's, less 1 (blank: only the latter is empty)",
    "hd95": "the larger of the two 95th percentiles of distances between the contours",
    "assd": "mean distance between the contours",
}
_TRUTHS = {
    "reference_empty": "whether the reference has no pixel",
    "prediction_empty": "whether the prediction has no pixel",
}
_UNITS = {"px": "in pixels", "mm": "in mm (blank: the spacing is unknown)"}
_OF_UNIT = re.compile(r"(hd95|assd|nsd)_(.*?)(px|mm)")


def score_columns_of(classes: Sequence[str], score: Score) -> list[Column]:
    """Scores and counts, then what is measured beside the counts, in the report's order."""
    return [_column(metric, of) for metric, of in [*score_cells(classes), *measured_cells(classes, score)]]


def is_score(name: str) -> bool:
    """Whether a column of numbers holds scores, which are written with six decimals."""
    return name.startswith(("nsd_", "miou_", *(f"{metric}_" for metric in _SCORES))) or name == "miou"


def _column(metric: str, of: str) -> Column:
    name = column_name(metric, of)
    where = "" if not of else ", background" if of == BACKGROUND else f", class {of}"
    if metric in _COUNTS:
        return Column(name, "integer", _COUNTS[metric] + where)
    if metric in _TRUTHS:
        return Column(name, "boolean", _TRUTHS[metric] + where)
    if metric in _SCORES:
        return Column(name, "score", _SCORES[metric] + where)
    if found := _OF_UNIT.fullmatch(metric):
        distance, tolerance, unit = found.groups()
        if distance == "nsd":
            text = f"share of both contours at most {tolerance} {unit} from the other one"
            return Column(name, "score", text + (" (blank: the spacing is unknown)" if unit == "mm" else "") + where)
        return Column(name, "number", f"{_NUMBERS[distance]}, {_UNITS[unit]}{where}")
    return Column(name, "number", _NUMBERS[metric] + where)
