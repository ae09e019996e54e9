"""The curve of memory.py."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from commands import Cost
from matplotlib import pyplot


def write_picture(found: Mapping[tuple[str, int], Cost], path: Path) -> None:
    """Anonymous memory over the number of images, a line for each command."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4), dpi=90, layout="constrained")
    for name in dict.fromkeys(name for name, _ in found):
        points = sorted((images, cost.anonymous) for (other, images), cost in found.items() if other == name)
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", xlabel="images", ylabel="anonymous memory, MiB", ylim=(0, None))
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
