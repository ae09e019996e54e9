"""One picture of the run: the best, median and worst images with reference and prediction.

It is drawn with OpenCV and Pillow at twice its size and then shrunk; matplotlib would take longer than the rest of the
report.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segpipe.files.atomic import atomic_path
from segpipe.report.cases import GROUPS, Case

# Okabe and Ito's palette for all kinds of colour vision, without black; light enough on dark films.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
_REFERENCE, _LEGEND_GROUND = "#FFFFFF", "#404040"
_FINER = 2  # the picture is drawn at so many times its size
_CELL, _BOX, _TITLE, _HEADING, _MARGIN = 352, 296, 40, 94, 50  # pixels
_LINE, _PER_LINE = 26, 4  # of the legend: height of a line, and entries in it
_PREDICTED_WIDTH, _REFERENCE_WIDTH, _RIM = 2.0, 1.4, 1.1  # pixels
_DASH, _GAP = 5, 6  # pixels
_DARKER = 0.45  # what the rim of a line leaves of the picture below it
_LONGEST_TITLE = 34
_FONTS = "mpl-data/fonts/ttf"  # DejaVu, which knows more alphabets than the font that Pillow brings


def write_overview(
    cases: Sequence[Case],
    path: Path,
    *,
    classes: Sequence[str],
    title: str,
    scored: int,
    mean_miou: float | None,
) -> None:
    """Write the picture as PNG, the same bytes for the same arguments and versions.

    ``scored`` and ``mean_miou`` are of all scored images of the run, for the heading; ``cases`` are those
    to show, none up to any number in a group (:func:`segpipe.report.cases.choose_cases`).
    """
    rows = [row for group in GROUPS if (row := [case for case in cases if case.group == group])]
    across = max([2, *(len(row) for row in rows)])
    lines = -(-(len(classes) + 1) // _PER_LINE) if rows else 0
    size = (_MARGIN + across * _CELL, max(150, _HEADING + len(rows) * _CELL + lines * _LINE + 30))
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    _head(pen, size[0], title, scored, mean_miou)
    for down, row in enumerate(rows):
        top = _HEADING + down * _CELL
        _sideways(picture, row[0].group, (_MARGIN // 2, top + _CELL // 2))
        left = _MARGIN + (across - len(row)) * _CELL // 2
        for right, case in enumerate(row):
            _show(picture, pen, case, len(classes), (left + right * _CELL, top))
    if rows:
        _legend(pen, classes, size[0], size[1] - lines * _LINE - 15)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="png")


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of matplotlib, which is not imported for it."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return ImageFont.truetype(Path(spec.origin).parent / _FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


def _head(pen: ImageDraw.ImageDraw, width: int, title: str, scored: int, mean_miou: float | None) -> None:
    pen.text((width / 2, 33), _short(title, width // 16), "black", _font(21, bold=True), "mm")
    line = "no image was scored, so there is nothing to show"
    if scored and mean_miou is not None:
        line = f"{scored} scored image{'s' if scored > 1 else ''}, mean MIoU {mean_miou:.3f}"
    pen.text((width / 2, 66), line, "black", _font(16), "mm")


def _sideways(picture: Image.Image, text: str, middle: tuple[int, int]) -> None:
    label = Image.new("L", (_CELL, 30), 255)
    ImageDraw.Draw(label).text((_CELL / 2, 15), text, 0, _font(15), "mm")
    picture.paste(label.rotate(90, expand=True), (middle[0] - 15, middle[1] - _CELL // 2))


def _show(picture: Image.Image, pen: ImageDraw.ImageDraw, case: Case, classes: int, corner: tuple[int, int]) -> None:
    """One image in its cell, whose upper left corner is ``corner``, with name and score above it."""
    middle = corner[0] + _CELL / 2
    pen.text((middle, corner[1] + 10), _short(case.image_id, _LONGEST_TITLE), "black", _font(14), "mm")
    pen.text((middle, corner[1] + 27), f"MIoU {case.miou:.3f}", "black", _font(14), "mm")
    drawn = Image.fromarray(_drawn(case, classes))
    below = corner[1] + _TITLE + (_BOX - drawn.height) // 2
    picture.paste(drawn, (round(middle - drawn.width / 2), below))


def _drawn(case: Case, classes: int) -> np.ndarray:
    """The image with its outlines, uint8 (rows, columns, 3), its longer side as long as a cell allows."""
    rows, columns = case.image.shape
    scale = _BOX / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    finer = (_FINER * size[0], _FINER * size[1])
    canvas = cv2.cvtColor(_resized(case.image, finer), cv2.COLOR_GRAY2RGB)
    for index in range(classes):
        _outline(canvas, _plane(case.prediction, index, finer), COLOURS[index % len(COLOURS)], _PREDICTED_WIDTH)
    for index in range(classes):
        _outline(canvas, _plane(case.reference, index, finer), _REFERENCE, _REFERENCE_WIDTH, dashed=True)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA))


def _plane(bits: np.ndarray, index: int, size: tuple[int, int]) -> np.ndarray:
    """Class ``index`` of (rows, columns) bits at another size (width, height), uint8 0 and 1."""
    mask = ((bits >> bits.dtype.type(index)) & bits.dtype.type(1)).astype(np.uint8) * np.uint8(255)
    return (_resized(mask, size) > 127).astype(np.uint8)


def _outline(canvas: np.ndarray, mask: np.ndarray, colour: str, width: float, dashed: bool = False) -> None:
    """Draw the border of a mask, with a dark rim that shows it on bone."""
    if mask.all():
        return
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [part for contour in contours for part in _dashes(contour)] if dashed else list(contours)
    rim = np.zeros(mask.shape, np.uint8)
    cv2.polylines(rim, lines, not dashed, 1, round(_FINER * (width + _RIM)))
    canvas[rim > 0] = (canvas[rim > 0] * _DARKER).astype(np.uint8)
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    cv2.polylines(canvas, lines, not dashed, (red, green, blue), round(_FINER * width), cv2.LINE_AA)


def _dashes(contour: np.ndarray) -> list[np.ndarray]:
    """Pieces of a contour, whose points are neighbouring pixels."""
    step = _FINER * (_DASH + _GAP)
    return [contour[start : start + _FINER * _DASH] for start in range(0, len(contour), step)]


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    how = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how))


def _short(name: str, longest: int) -> str:
    half, flat = (longest - 1) // 2, " ".join(name.split())
    return flat if len(flat) <= longest else f"{flat[:half]}…{flat[-half:]}"


def _legend(pen: ImageDraw.ImageDraw, classes: Sequence[str], width: int, top: int) -> None:
    entries = [(f"{name}, predicted", COLOURS[index % len(COLOURS)]) for index, name in enumerate(classes)]
    entries.append(("reference", _REFERENCE))
    lines = [entries[start : start + _PER_LINE] for start in range(0, len(entries), _PER_LINE)]
    wide = min(60 + max(_font(14).getlength(text) for text, _ in entries), (width - 20) / len(lines[0]))
    left = (width - len(lines[0]) * wide) / 2
    pen.rounded_rectangle((left, top, width - left, top + len(lines) * _LINE), 4, _LEGEND_GROUND)
    for down, line in enumerate(lines):
        for right, (text, colour) in enumerate(line):
            x, y = left + right * wide + 12, top + (down + 0.5) * _LINE
            for start in (0, 11, 22) if colour == _REFERENCE else (0, 10, 20):
                pen.line((x + start, y, x + start + (6 if colour == _REFERENCE else 10), y), colour, 2)
            pen.text((x + 38, y), _short(text, round(wide) // 9), "white", _font(14), "lm")
