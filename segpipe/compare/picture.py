"""The picture of a comparison: scores with intervals, paired differences, sizes, numbers of patients."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from segpipe.config.stages import CompareStage
from segpipe.files.atomic import atomic_path

# Okabe and Ito's palette, for all kinds of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_ROW, _HEAD, _CURVES, _LONGEST = 0.34, 1.35, 3.4, 40  # inches; letters of a label


def write_picture(stage: CompareStage, table: pd.DataFrame, seeds: pd.DataFrame, path: Path) -> None:
    """Draw ``table`` and ``seeds`` (:mod:`segpipe.compare.stage`) as PNG, the same bytes for the same tables.

    Where numbers of patients are compared, a panel below shows the score against them.
    """
    curves = len({variant.patients for variant in stage.variants}) > 1
    rows = _HEAD + _ROW * (len(table) + 1)
    figure = Figure(figsize=(12.5, rows + (_CURVES if curves else 0)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[rows, _CURVES]) if curves else [figure]
    scores, differences, sizes = parts[0].subplots(1, 3, sharey=True, width_ratios=[3.2, 3, 1.3])
    figure.suptitle(_head(stage, table), size=11, parse_math=False)
    colours = _colours(stage)
    _scores(scores, stage, table, seeds, colours)
    _differences(differences, stage, table, colours)
    _sizes(sizes, table, colours)
    if curves:
        _learning_curves(parts[1].subplots(), stage, table)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _head(stage: CompareStage, table: pd.DataFrame) -> str:
    first = table.iloc[0]
    seeds = f", mean of {stage.repeats} seeds each" if stage.repeats > 1 else ""
    return f"{stage.title}: {first['images']} images of {first['patients']} patients never trained on{seeds}"


def _colours(stage: CompareStage) -> list[str]:
    names = list(dict.fromkeys(variant.network for variant in stage.variants))
    return [_COLOURS[names.index(variant.network) % len(_COLOURS)] for variant in stage.variants]


def _scores(axes: Axes, stage: CompareStage, table: pd.DataFrame, seeds: pd.DataFrame, colours: list[str]) -> None:
    places = np.arange(len(table))
    _intervals(axes, table, "miou", colours)
    if stage.repeats > 1:
        rows = seeds["variant"].map(dict(zip(table["variant"], places, strict=True)))
        axes.scatter(seeds["miou"], rows + 0.27, s=36, marker="|", color="#666666", label="one seed alone")
        together: dict[str, Any] = {"facecolors": "none", "edgecolors": "#666666", "label": "its seeds together"}
        axes.scatter(table["miou_together"], places + 0.27, s=16, marker="D", **together)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    axes.set_yticks(places, [_short(variant.label) for variant in stage.variants], parse_math=False)
    axes.set_ylim(len(table) - 0.3, -0.7)
    axes.set_xlabel("MIoU with background, 95 % interval over patients")
    labels = [f"{row.miou:.3f}" for row in table.itertuples()]
    _texts(axes, labels)


def _differences(axes: Axes, stage: CompareStage, table: pd.DataFrame, colours: list[str]) -> None:
    axes.axvline(0, color="#999999", linewidth=1)
    _intervals(axes, table, "difference", colours)
    first = stage.variants[0]
    several = len({variant.patients for variant in stage.variants}) > 1
    parts = {first.network: "network", first.loss: "loss"}
    varying = [text for text, axis in parts.items() if len({getattr(each, axis) for each in stage.variants}) > 1]
    name = f"{', '.join(varying or [first.network])} with as many patients" if several else first.label
    said = f"MIoU less that of {_short(name)}\np: Wilcoxon over patients, corrected (Holm)"
    axes.set_xlabel(said, parse_math=False)
    p_values = zip(table["compared_with"], table["p_holm"], strict=True)
    _texts(axes, [f"p {_p_text(value)}" if other else "reference" for other, value in p_values])


def _sizes(axes: Axes, table: pd.DataFrame, colours: list[str]) -> None:
    millions = table["parameters"] / 1e6
    axes.scatter(millions, np.arange(len(table)), color=colours, s=26)
    axes.set_xscale("log")
    axes.set_xlim(millions.min() / 2, millions.max() * 2)
    axes.set_xlabel("million parameters\n(logarithmic)")
    axes.xaxis.set_major_formatter(NullFormatter())  # the numbers stand beside
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(left=False)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    _texts(axes, [f"{value:.2g}" if value < 1 else f"{value:.1f}" for value in millions])


def _intervals(axes: Axes, table: pd.DataFrame, name: str, colours: list[str]) -> None:
    for place, (row, colour) in enumerate(zip(table.to_dict("records"), colours, strict=True)):
        if not np.isnan(row[name]):
            axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=colour, linewidth=2)
            axes.plot(row[name], place, "o", color=colour, markersize=6)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(left=False)


def _texts(axes: Axes, labels: list[str]) -> None:
    """A column of numbers right of the panel."""
    for place, label in enumerate(labels):
        axes.text(1.02, place, label, transform=axes.get_yaxis_transform(), va="center", size=8.5)


def _p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


def _learning_curves(axes: Axes, stage: CompareStage, table: pd.DataFrame) -> None:
    """The score against the number of patients to train on, a line for each network and loss."""
    amounts = sorted({variant.patients for variant in stage.variants}, key=lambda most: most or np.inf)
    losses = list(dict.fromkeys(variant.loss for variant in stage.variants))
    lines: dict[tuple[str, str], list[tuple[float, float, float, float, str]]] = {}
    for variant, row, colour in zip(stage.variants, table.to_dict("records"), _colours(stage), strict=True):
        values = (row["miou"], row["miou"] - row["miou_low"], row["miou_high"] - row["miou"])
        lines.setdefault((variant.network, variant.loss), []).append((amounts.index(variant.patients), *values, colour))
    for number, ((network, loss), points) in enumerate(lines.items()):
        points.sort()
        apart = (number - (len(lines) - 1) / 2) * 0.04  # beside each other, or intervals hide each other
        x, y, below, above = (np.array([point[part] for point in points]) for part in range(4))
        style: dict[str, Any] = {"color": points[0][4], "linestyle": ("-", "--", ":", "-.")[losses.index(loss) % 4]}
        label = network if len(losses) == 1 else f"{network}, {loss}"
        axes.errorbar(x + apart, y, yerr=[below, above], marker="o", markersize=4, elinewidth=1, label=label, **style)
    axes.set_xticks(range(len(amounts)), [f"{most} patients" if most else "all patients" for most in amounts])
    axes.set_ylabel("MIoU")
    axes.set_xlabel("trained on at most")
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5, frameon=False)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
