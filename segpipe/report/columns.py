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


_IDENTITY = (
    Column(
        "image_id",
        "text",
        "unique name of the image, and of its files in the results; the table is sorted by it",
    ),
    Column("image", "text", "path of the image below data.root"),
    Column("patient", "text", "key that stands for the patient; never the identifier itself"),
    Column(
        "patient_source",
        "text",
        "where that is from: sheet or pattern, PatientID, or image, which is then a patient of its own",
    ),
    Column("site", "text", "site, from the sheet or the pattern"),
    Column("fold", "text", "fold of the patient; the model that predicted the image never saw this fold"),
    Column("status", "text", "scored, unlabelled, quarantined or training (see above)"),
    Column("reason", "text", "why the image is not scored"),
    Column("flags", "text", "what makes the image worth a look, separated by semicolons (docs/checks.md)"),
    Column("duplicate_of", "text", "image_id of the first image with exactly this picture, labelled ones first"),
    Column("near_duplicate_of", "text", "image_id of the first image that shows nearly this picture, likewise"),
)

_TIDIED = (
    Column("engine", "text", "what computed the network: name, version and precision (docs/engines.md)"),
    Column("removed_pixels", "integer", "pixels of small pieces that predict.smallest_island took away, all classes"),
    Column("filled_pixels", "integer", "pixels of holes that predict.fill_holes filled, all classes"),
)

_READING = (
    Column("notes", "text", "remarks on the reading of image and masks, key:value, separated by semicolons"),
    Column("format", "text", "DICOM, PNG, JPEG, TIFF, BMP, GIF or NIfTI, by the file's content"),
    Column("modality", "text", "DICOM Modality (0008,0060)"),
    Column("photometric_interpretation", "text", "DICOM (0028,0004), or the raster's colour type"),
    Column("transfer_syntax", "text", "DICOM transfer syntax UID"),
    Column("bits_stored", "integer", "significant bits of a stored value"),
    Column("frame", "integer", "which frame or page was read, from 1, where the file has several"),
    Column("decoded_at", "integer", "2, 4 or 8: the picture was decoded at that fraction of its size; 1: in full"),
    Column("modality_lut", "text", "none, rescale or sequence: what turned stored values into modality values"),
    Column("voi", "text", "window or VOI LUT that was applied, or none"),
    Column("inverted", "boolean", "whether the grey values were turned over, so that bone is bright"),
    Column("invert_source", "text", "what decided on that: a DICOM attribute, the sheet, or none"),
    Column("burned_in_annotation", "text", "DICOM (0028,0301): YES or NO"),
    Column("recognizable_visual_features", "text", "DICOM (0028,0302): YES or NO"),
    Column("rows", "integer", "rows of the original image"),
    Column("columns", "integer", "columns of the original image"),
    Column("spacing_row_mm", "number", "distance between the centres of neighbouring rows in mm; blank: unknown"),
    Column("spacing_column_mm", "number", "distance between the centres of neighbouring columns in mm"),
    Column("spacing_source", "text", "where the spacing comes from, or unknown"),
    Column("intensity_method", "text", "how the grey values that become black and white were chosen"),
    Column("intensity_low", "number", "grey value that becomes black in the network's input"),
    Column("intensity_high", "number", "grey value that becomes white in the network's input"),
    Column("fit", "text", "letterbox or stretch: how the image was brought to the network's input"),
    Column("scale_row", "number", "rows of the network's input per original row"),
    Column("scale_column", "number", "columns of the network's input per original column"),
    Column("pad_top", "integer", "rows of padding above the image in the network's input"),
    Column("pad_left", "integer", "columns of padding left of the image in the network's input"),
)

_MEASURES = (
    Column("polarity_score", "number", "positive where bone looks bright, negative where it looks dark"),
    Column(
        "orientation_gain",
        "number",
        "correlation with the mean of all thumbnails, turned or mirrored as fits best, less that as it is",
    ),
    Column("grey_levels", "integer", "how many of 256 grey values occur in the network's input"),
    Column("flat_share", "number", "share of the network's input, without padding, that has its commonest grey value"),
    Column("black_share", "number", "share of the field that has the lowest value of its range"),
    Column("white_share", "number", "share of the field that has the highest value of its range"),
    Column("mask_outside_field", "number", "share of the masks that lies in flat borders of the image"),
)


_QUALITY = {
    "components": "pieces of the prediction",
    "predicted_share": "share of the image that the prediction covers",
    "predicted_area_z": "robust z score of that among all predictions, on a logarithmic scale (blank: fewer than 10)",
    "entropy": "mean entropy of the probabilities in bits: 0 sure, 1 at a loss",
    "disagreement": "1 less the mean Dice of each two models' masks (blank: one model)",
}


def repeat_columns(repeats: Sequence[int | str]) -> list[Column]:
    """What single seeds reach, each alone; nothing where there is one."""
    if len(repeats) < 2:
        return []
    alone = [Column(f"miou_repeat_{repeat}", "score", f"miou of the mask of seed {repeat} alone") for repeat in repeats]
    return [*alone, Column("miou_repeats_sd", "score", "standard deviation of these over the seeds")]


def quality_columns(classes: Sequence[str]) -> list[Column]:
    """What is known of each predicted mask without its reference (docs/metrics.md)."""
    return [
        Column(f"{fact}_{name}", "integer" if fact == "components" else "number", f"{_QUALITY[fact]}, class {name}")
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
    areas = [
        Column(share_column(name), "number", f"share of the image that class {name} covers in the reference")
        for name in classes
    ]
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
