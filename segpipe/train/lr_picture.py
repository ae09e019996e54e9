"""The picture of a learning-rate range test."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segpipe.io.atomic import atomic_path
from segpipe.train.lr_find import RangeTest

# Okabe and Ito's colours, which colour-blind readers tell apart.
GREY, BLUE, GREEN, ORANGE = "#999999", "#0072B2", "#009E73", "#D55E00"


def write_picture(found: RangeTest, path: Path, model: str, used: float) -> None:
    """Losses over rates as PNG, with the suggestion and the rate that the config uses."""
    figure = Figure(figsize=(8, 4.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display and without pyplot
    axes = figure.add_subplot()
    rates = found.table["learning_rate"]
    axes.plot(rates, found.table["loss"], ".", color=GREY, markersize=4, label="loss of a step")
    axes.plot(rates, found.table["smoothed"], color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(found.suggestion, color=GREEN, label=f"suggestion: {found.suggestion:.2g}")
    axes.axvline(found.steepest, color=BLUE, linestyle=":", label=f"steepest descent: {found.steepest:.2g}")
    axes.axvline(used, color=ORANGE, linestyle="--", label=f"train.learning_rate: {used:.2g}")
    low, high = found.table["loss"].min(), found.table["smoothed"].iloc[: len(rates) // 2].max()
    axes.set_ylim(low - 0.05 * (high - low), high + 0.35 * (high - low))  # the end of a diverging curve says little
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(f"Learning-rate range test, {model}")
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        # Without the version of matplotlib, which would change the bytes.
        figure.savefig(temporary, format="png", metadata={"Software": None})
