"""The one truth of report.csv's columns; docs/report-columns.md says the same and a test compares them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from segpipe.config import Score
from segpipe.config.stages import ReportStage
from segpipe.errors import ConfigError
from segpipe.preprocess.quality import share_column
from segpipe.score.columns import BACKGROUND, column_name, measured_cells, score_cells

Kind = Literal["text", "integer", "score", "number", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column: its header, what its cells hold, and what they mean."""

    name: str
    kind: Kind
    description: str


EVERYTHING = Score()

_COUNTS = {
    "tp": "pixels in both masks",
    "fp": "pixels in the prediction only",
    "fn": "pixels in the reference only",
    "tn": "pixels in neither",
    "reference_components": "pieces of the reference",
}
_SCORES = {
    "miou": "mean IoU over classes and background",
    "miou_foreground": "mean IoU over classes",
    "iou": "intersection over union",
    "dice": "Dice similarity coefficient",
    "precision": "tp / (tp + fp)",
    "recall": "tp / (tp + fn)",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "boundary_iou": "IoU of the rims",
}
_NUMBERS = {
    "relative_area_difference": "(fp - fn) / (tp + fn)",
    "hd95": "95th percentile of the Hausdorff distance",
    "assd": "average symmetric surface distance",
}
_TRUTHS = {
    "reference_empty": "the reference has no pixel",
    "prediction_empty": "the prediction has no pixel",
}
_UNITS = {"px": "in pixels", "mm": "in mm"}
_OF_UNIT = re.compile(r"(hd95|assd|nsd)_(.*?)(px|mm)")


def score_columns_of(classes: Sequence[str], score: Score) -> list[Column]:
    """Scores and counts, then what is measured beside the counts, in the report's order."""
    return [_column(metric, of) for metric, of in [*score_cells(classes), *measured_cells(classes, score)]]


def _column(metric: str, of: str) -> Column:
    name = column_name(metric, of)
    where = ", background" if of == BACKGROUND else ""
    if metric in _COUNTS:
        return Column(name, "integer", _COUNTS[metric] + where)
    if metric in _TRUTHS:
        return Column(name, "boolean", _TRUTHS[metric] + where)
    if metric in _SCORES:
        return Column(name, "score", _SCORES[metric] + where)
    if found := _OF_UNIT.fullmatch(metric):
        distance, tolerance, unit = found.groups()
        if distance == "nsd":
            return Column(name, "score", f"normalised surface distance, tolerance {tolerance} {unit}{where}")
        return Column(name, "number", f"{_NUMBERS[distance]}, {_UNITS[unit]}{where}")
    return Column(name, "number", _NUMBERS[metric] + where)


_IDENTITY = (
    Column("image_id", "text", "unique name of the image and its results"),
    Column("image", "text", "path below data.root"),
    Column("patient", "text", "key of the patient, never the identifier"),
    Column("patient_source", "text", "sheet or pattern, PatientID, or image: a patient of its own"),
    Column("site", "text", "from the sheet or pattern"),
    Column("fold", "text", "fold of the patient, unseen by the model that predicted the image"),
    Column("status", "text", "scored, unlabelled, quarantined or training"),
    Column("reason", "text", "why the image is not scored"),
    Column("flags", "text", "what makes the image worth a look (docs/checks.md)"),
    Column("duplicate_of", "text", "first image with exactly this picture"),
    Column("near_duplicate_of", "text", "first image with nearly this picture"),
)

_TIDIED = (
    Column("engine", "text", "engine, version and precision (docs/engines.md)"),
    Column("removed_pixels", "integer", "pixels removed by predict.smallest_island"),
    Column("filled_pixels", "integer", "pixels filled by predict.fill_holes"),
)

_READING = (
    Column("notes", "text", "remarks on reading image and masks"),
    Column("format", "text", "DICOM, PNG, JPEG, TIFF, BMP, GIF or NIfTI"),
    Column("modality", "text", "DICOM Modality (0008,0060)"),
    Column("photometric_interpretation", "text", "DICOM (0028,0004), or the raster's colour type"),
    Column("transfer_syntax", "text", "DICOM transfer syntax UID"),
    Column("bits_stored", "integer", "bits of a stored value"),
    Column("frame", "integer", "frame or page, from 1, if there are several"),
    Column("decoded_at", "integer", "1: in full; 2, 4 or 8: at that fraction of its size"),
    Column("modality_lut", "text", "none, rescale or sequence"),
    Column("voi", "text", "window or VOI LUT applied, or none"),
    Column("inverted", "boolean", "grey values were inverted, so that bone is bright"),
    Column("invert_source", "text", "a DICOM attribute, the sheet, or none"),
    Column("burned_in_annotation", "text", "DICOM (0028,0301): YES or NO"),
    Column("recognizable_visual_features", "text", "DICOM (0028,0302): YES or NO"),
    Column("rows", "integer", "rows of the original"),
    Column("columns", "integer", "columns of the original"),
    Column("spacing_row_mm", "number", "between centres of rows; blank: unknown"),
    Column("spacing_column_mm", "number", "between centres of columns"),
    Column("spacing_source", "text", "origin of the spacing, or unknown"),
    Column("intensity_method", "text", "how black and white were chosen"),
    Column("intensity_low", "number", "grey value that becomes black"),
    Column("intensity_high", "number", "grey value that becomes white"),
    Column("fit", "text", "letterbox or stretch"),
    Column("scale_row", "number", "input rows per original row"),
    Column("scale_column", "number", "input columns per original column"),
    Column("pad_top", "integer", "rows of padding above the image"),
    Column("pad_left", "integer", "columns of padding left of the image"),
)

_MEASURES = (
    Column("polarity_score", "number", "positive if bone looks bright"),
    Column("orientation_gain", "number", "correlation with the others' mean, turned or mirrored, less that as it is"),
    Column("grey_levels", "integer", "grey values of 256 that occur"),
    Column("flat_share", "number", "share of the commonest grey value"),
    Column("black_share", "number", "share of the field at the lowest value"),
    Column("white_share", "number", "share of the field at the highest value"),
    Column("mask_outside_field", "number", "share of the masks in flat borders"),
)


_QUALITY = {
    "components": "pieces of the prediction",
    "predicted_share": "share of the image that the prediction covers",
    "predicted_area_z": "robust z score of the predicted share (blank: fewer than 10)",
    "entropy": "mean entropy in bits: 0 sure, 1 at a loss",
    "disagreement": "1 less the mean Dice of two models' masks (blank: one model)",
}


def repeat_columns(repeats: Sequence[int | str]) -> list[Column]:
    """What single seeds reach, each alone; nothing where there is one."""
    if len(repeats) < 2:
        return []
    alone = [Column(f"miou_repeat_{repeat}", "score", f"miou of seed {repeat} alone") for repeat in repeats]
    return [*alone, Column("miou_repeats_sd", "score", "standard deviation of miou over the seeds")]


def quality_columns(classes: Sequence[str]) -> list[Column]:
    """What is known of each predicted mask without its reference (docs/metrics.md)."""
    return [
        Column(f"{fact}_{name}", "integer" if fact == "components" else "number", _QUALITY[fact])
        for fact in _QUALITY
        for name in classes
    ]


def report_columns(
    classes: Sequence[str], carried: Sequence[str], repeats: Sequence[int | str] = (), score: Score = EVERYTHING
) -> list[Column]:
    """All columns in order, for the classes of the config and the further columns of the sample sheet.

    ``repeats`` numbers the seeds of each fold, where there are several (:func:`repeat_columns`); ``score`` says what is
    measured beside the counts.

    A column of the sheet with the name of one of the report's own appears as ``carried:<name>``.

    Raises:
        ConfigError: a class is called background, which is the name of what belongs to no class.
    """
    if BACKGROUND in classes:
        raise ConfigError(
            "classes.background: this name is taken by the pixels of no class, which are always scored. "
            "Remove the class, or give it another name."
        )
    areas = [Column(share_column(name), "number", "share of the image that the reference covers") for name in classes]
    scores = score_columns_of(classes, score)
    columns = [
        *_IDENTITY,
        *scores,
        *repeat_columns(repeats),
        *quality_columns(classes),
        *_TIDIED,
        *_READING,
        *_MEASURES,
        *areas,
    ]
    taken = {column.name for column in columns}
    for name in carried:
        header = name if name not in taken else f"carried:{name}"
        columns.append(Column(header, "text", f"column {name} of the sample sheet"))
    return columns


def check_groups(stage: ReportStage) -> None:
    """Check, before any job runs, that report.csv will have the columns that ``report.by`` asks for.

    Raises:
        ConfigError: there will be no such column; the text names those that are spelt alike.
    """
    wanted = dict.fromkeys(part for name in stage.by for part in name.split("+"))
    repeats = range(1, stage.repeats + 1)
    known = [column.name for column in report_columns(stage.classes, stage.carried, repeats, stage.score)]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, 3)
            hint = f"; do you mean {' or '.join(close)}?" if close else "."
            raise ConfigError(
                f"report.by: report.csv has no column {name!r}{hint} It has those of docs/report-columns.md and of the "
                "sample sheet."
            )
