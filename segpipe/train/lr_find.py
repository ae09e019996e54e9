"""``segpipe lr-find``: which learning rate suits a prepared run.

The learning-rate range test: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017,
https://arxiv.org/abs/1506.01186, section 3.3. A fresh network is trained for some steps while the rate rises from far
too low to far too high. Where the loss falls fastest the network learns best; where it rises the rate is too high.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segpipe.config import Config
from segpipe.config.load import load_config
from segpipe.config.stages import TrainStage, stage_configs, stage_text
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import atomic_path
from segpipe.log import logger, track
from segpipe.models.device import fix_arithmetic
from segpipe.samples.scan import scan_of_run
from segpipe.samples.shards import fingerprint
from segpipe.train.data import Batch, TrainLoader
from segpipe.train.distributed import ProcessGroup, join
from segpipe.train.memory import choose_batch_size
from segpipe.train.roles import read_roles
from segpipe.train.seeds import draw_seed
from segpipe.train.step import TrainStep

PREPARED_BY = ("preprocess", "dataset")  # stages
FEWEST = 10  # steps on which a curve can be judged
WIDTH = 0.25  # decades of the rate: the standard deviation of the smoothing
DIVERGED = 3.0  # times the lowest loss so far, in the mean of RECENT steps
RECENT = 5

# Okabe and Ito's colours, which colour-blind readers tell apart.
GREY, BLUE, GREEN, ORANGE = "#999999", "#0072B2", "#009E73", "#D55E00"


def find_learning_rate(
    path: Path, model: str | None, steps: int, lowest: float, highest: float, output: Path | None
) -> str:
    """Run the test on the shards of a run; write ``lr-find.csv`` and ``lr-find.png``; the text for the terminal.

    Raises:
        ConfigError: a wrong config, model or range.
        InputError: the run is not prepared, or was prepared with other settings.
    """
    config = load_config(path)
    if not 0 < lowest < highest or steps < FEWEST:
        raise ConfigError(
            f"lr-find: {steps} steps from {lowest:g} to {highest:g}; it needs 0 < lowest < highest and {FEWEST} steps"
        )
    if config.model.weights:
        raise ConfigError("lr-find: with model.weights nothing is trained; remove them from the config.")
    model = model or config.folds.models[0]
    _check_prepared(config, path)
    stage = stage_configs(config, [])["train"]
    assert isinstance(stage, TrainStage)
    folder, used = config.folder, stage.train.learning_rate
    found = range_test(stage, folder / "dataset/dataset.parquet", folder / "shards", model, steps, lowest, highest)
    target = output or folder / "lr-find" / model
    with atomic_path(target / "lr-find.csv") as temporary:
        found.table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    write_picture(found, target / "lr-find.png", model, used)
    return (
        f"{model}: {len(found.table)} steps from {lowest:g} to {found.table['learning_rate'].iloc[-1]:.2g}"
        f"{', where the loss diverged' if found.diverged else ''}\n"
        f"  lowest loss at      {found.lowest:.2g}\n"
        f"  steepest descent at {found.steepest:.2g}, the careful choice\n"
        f"suggestion, a tenth of the rate of the lowest loss: train.learning_rate: {found.suggestion:.2g} "
        f"(the config has {used:g})\n"
        f"{target / 'lr-find.png'}"
    )


def _check_prepared(config: Config, path: Path) -> None:
    """The shards are there, and are what this config would make."""
    folder = config.folder
    advice = f"`snakemake --cores all --configfile {path} --until dataset` does it."
    if not (folder / "dataset/dataset.parquet").exists():
        raise InputError(f"{folder} is not prepared: {folder}/dataset/dataset.parquet is missing. {advice}")
    stages, made = stage_configs(config, []), scan_of_run(folder).stages
    for name in PREPARED_BY:
        if made[name] != fingerprint(stage_text(stages[name]).encode()):
            raise InputError(
                f"{folder} was prepared with other settings for {name} than those of {path}. Prepare it again; {advice}"
            )


@dataclass(frozen=True)
class RangeTest:
    """What was measured: a row per step (step, learning_rate, loss, smoothed), and what follows."""

    table: pd.DataFrame
    steepest: float
    lowest: float
    diverged: bool

    @property
    def suggestion(self) -> float:
        """A tenth of the rate of the lowest loss, where the curve still falls."""
        return self.lowest / 10


def range_test(
    stage: TrainStage, dataset: Path, shards: Path, model: str, steps: int, lowest: float, highest: float
) -> RangeTest:
    """Train a fresh network of ``model`` at rates from ``lowest`` to ``highest``, a constant factor apart.

    The same every time: batches, augmentation and weights are those that training would start with. Nothing is kept.

    Raises:
        InputError: the loss is no number within the first steps.
    """
    with join(stage.train.device) as group:
        fix_arithmetic(stage.train.threads, stage.train.deterministic, stage.train.tf32)
        rows, seed = read_roles(dataset, stage, model).train, draw_seed(stage.seed, model)
        wanted = stage.train.batch_size
        size = choose_batch_size(stage, group, len(rows)) if wanted == "auto" else wanted
        rates = np.geomspace(lowest, highest, steps)
        loader = TrainLoader(stage, rows, shards, seed, group, size)
        losses = _losses(TrainStep(stage, seed, group), _endless(loader), rates, seed, group, model)
    if len(losses) < FEWEST:
        raise InputError(
            f"{model}: the loss was no number or grew threefold within {len(losses)} steps, at a rate of "
            f"{rates[max(0, len(losses) - 1)]:g}. Begin lower, with --lowest {lowest / 100:g}, or look at the images."
        )
    return read_curve(rates[: len(losses)], np.array(losses), len(losses) < steps)


def read_curve(rates: np.ndarray, losses: np.ndarray, diverged: bool) -> RangeTest:
    """Smooth the losses, and find the lowest and, before it, the steepest descent over the rate's logarithm."""
    decades = np.log10(rates)
    smoothed = _smooth(decades, losses)
    lowest = int(smoothed.argmin())
    slope = np.gradient(smoothed, decades)
    steepest = int(slope[: lowest + 1].argmin())
    steps = np.arange(1, len(rates) + 1)
    table = pd.DataFrame({"step": steps, "learning_rate": rates, "loss": losses, "smoothed": smoothed})
    return RangeTest(table, float(rates[steepest]), float(rates[lowest]), diverged)


def _losses(
    train_step: TrainStep, batches: Iterator[Batch], rates: np.ndarray, seed: int, group: ProcessGroup, model: str
) -> list[float]:
    """One loss per step, up to where they diverge."""
    losses: list[float] = []
    best = np.inf
    train_step.begin_epoch(1)
    for number in track(range(len(rates)), len(rates), f"{model}: learning rates", "step"):
        torch.manual_seed(draw_seed(seed, "lr-find", number))  # dropout draws from here
        loss, _ = train_step.run(*next(batches), float(rates[number]), number)
        value = float(group.mean(loss))
        if not np.isfinite(value):
            break
        losses.append(value)
        recent = float(np.mean(losses[-RECENT:]))
        if recent > DIVERGED * best:
            break
        best = min(best, recent)
    logger.info("%s: %d steps of %d", model, len(losses), len(rates))
    return losses


def _endless(loader: TrainLoader) -> Iterator[Batch]:
    """Epoch after epoch."""
    epoch = 1
    while True:
        yield from loader.batches(epoch, 0)
        epoch += 1


def _smooth(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted by a bell curve around each place, which is cut off at the ends."""
    weights = np.exp(-(((places[:, np.newaxis] - places) / WIDTH) ** 2) / 2)
    smoothed: np.ndarray = weights @ values / weights.sum(1)
    return smoothed


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
