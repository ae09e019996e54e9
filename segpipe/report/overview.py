"""One picture of the run: the best, median and worst images with reference and prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from segpipe.files.atomic import atomic_path
from segpipe.report.cases import GROUPS, Case

# Okabe and Ito's palette for all kinds of colour vision, without black; light enough on dark films.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
_REFERENCE, _DASHES = "#FFFFFF", (0, (3.0, 2.5))
_LONGEST_SIDE = 512  # pixels shown of an image; contours of full-size masks would only cost time
_LONGEST_TITLE = 34
_CELL, _HEADING, _LEGEND, _MARGIN = 3.2, 0.85, 0.55, 0.45  # inches


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
    rows = [[case for case in cases if case.group == group] for group in GROUPS]
    rows = [row for row in rows if row]
    across = max([2, *(len(row) for row in rows)])
    width, height = _MARGIN + across * _CELL, _HEADING + max(len(rows), 0.1) * _CELL + _LEGEND
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)  # draws without a display and without pyplot
    _head(figure, _short(title, round(7 * width)), scored, mean_miou)
    for down, row in enumerate(rows):
        middle = height - _HEADING - (down + 0.5) * _CELL
        figure.text(0.2 / width, middle / height, row[0].group, rotation=90, va="center", ha="center")
        indent = _MARGIN + (across - len(row)) / 2 * _CELL
        for right, case in enumerate(row):
            box = (indent + right * _CELL, middle - 0.5 * _CELL, _CELL - 0.12, _CELL - 0.5)
            _show(_axes(figure, box), case, classes)
    if rows:
        _legend(figure, classes)
    with atomic_path(path) as temporary:
        # Without the version of matplotlib, which would change the bytes.
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _head(figure: Figure, title: str, scored: int, mean_miou: float | None) -> None:
    height = figure.get_figheight()
    figure.text(0.5, 1 - 0.30 / height, title, ha="center", va="center", size=14, weight="bold", parse_math=False)
    line = "no image was scored, so there is nothing to show"
    if scored and mean_miou is not None:
        line = f"{scored} scored image{'s' if scored > 1 else ''}, mean MIoU {mean_miou:.3f}"
    figure.text(0.5, 1 - 0.60 / height, line, ha="center", va="center", size=10.5)


def _axes(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    width, height = figure.get_size_inches()
    left, bottom, across, up = inches
    axes = figure.add_axes((left / width, bottom / height, across / width, up / height))
    axes.set_axis_off()
    return axes


def _show(axes: Axes, case: Case, classes: Sequence[str]) -> None:
    axes.imshow(_shrunk(case.image), cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.set_title(f"{_short(case.image_id, _LONGEST_TITLE)}\nMIoU {case.miou:.3f}", size=9, parse_math=False)
    for index in range(len(classes)):
        _outline(axes, case.prediction, index, colors=[_colour(index)], linewidths=[1.6])
    for index in range(len(classes)):
        _outline(axes, case.reference, index, colors=[_REFERENCE], linewidths=[1.2], linestyles=[_DASHES])


def _outline(axes: Axes, bits: np.ndarray, index: int, **style: Any) -> None:
    """Draw the border of class ``index`` of (rows, columns) bits, with a dark rim that shows it on bone."""
    mask = _shrunk(((bits >> bits.dtype.type(index)) & bits.dtype.type(1)).astype(np.uint8) * np.uint8(255))
    if min(mask.shape) > 1 and mask.min() < 128 <= mask.max():  # a line of pixels has no outline
        lines = axes.contour(mask, levels=[127.5], **style)
        lines.set_path_effects([withStroke(linewidth=style["linewidths"][0] + 1.0, foreground="#00000090")])


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _shrunk(picture: np.ndarray) -> np.ndarray:
    rows, columns = picture.shape
    scale = min(1.0, _LONGEST_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _short(name: str, longest: int) -> str:
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def _legend(figure: Figure, classes: Sequence[str]) -> None:
    lines = [Line2D([], [], color=_colour(i), lw=2, label=f"{name}, predicted") for i, name in enumerate(classes)]
    lines.append(Line2D([], [], color=_REFERENCE, lw=1.4, linestyle=_DASHES, label="reference"))
    box: dict[str, Any] = {"loc": "lower center", "ncols": min(len(lines), 4), "facecolor": "#404040"}
    for text in figure.legend(handles=lines, fontsize=9, **box).get_texts():
        text.set_color("white")
