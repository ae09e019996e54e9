"""The learning-rate range test: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017,
https://arxiv.org/abs/1506.01186, section 3.3.

A fresh network is trained for some steps while the rate rises from far too low to far too high. Where the loss falls
fastest the network learns best; where it rises the rate is too high.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from segpipe.errors import InputError
from segpipe.log import logger, track
from segpipe.model.device import fix_arithmetic
from segpipe.stages import TrainStage
from segpipe.train.data import Batch
from segpipe.train.distributed import Team, join
from segpipe.train.feed import Feed
from segpipe.train.learner import Learner
from segpipe.train.memory import choose_batch_size
from segpipe.train.roles import read_roles
from segpipe.train.seeds import draw_seed

FEWEST = 10  # steps on which a curve can be judged
WIDTH = 0.25  # decades of the rate: the standard deviation of the smoothing
DIVERGED = 3.0  # times the lowest loss so far, in the mean of RECENT steps
RECENT = 5


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
    with join(stage.train.device) as team:
        fix_arithmetic(stage.train.threads, stage.train.deterministic, stage.train.tf32)
        rows, seed = read_roles(dataset, stage, model).train, draw_seed(stage.seed, model)
        wanted = stage.train.batch_size
        size = choose_batch_size(stage, team, len(rows)) if wanted == "auto" else wanted
        rates = np.geomspace(lowest, highest, steps)
        feed = Feed(stage, rows, shards, seed, team, size)
        losses = _losses(Learner(stage, seed, team), _endless(feed), rates, seed, team, model)
    if len(losses) < FEWEST:
        raise InputError(
            f"{model}: the loss was no number or grew threefold within {len(losses)} steps, at a rate of "
            f"{rates[max(0, len(losses) - 1)]:g}. Begin lower, with --lowest {lowest / 100:g}, or look at the images."
        )
    return judge(rates[: len(losses)], np.array(losses), len(losses) < steps)


def judge(rates: np.ndarray, losses: np.ndarray, diverged: bool) -> RangeTest:
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
    learner: Learner, batches: Iterator[Batch], rates: np.ndarray, seed: int, team: Team, model: str
) -> list[float]:
    """One loss per step, up to where they diverge."""
    losses: list[float] = []
    best = np.inf
    learner.begin_epoch(1)
    for number in track(range(len(rates)), len(rates), f"{model}: learning rates", "step"):
        torch.manual_seed(draw_seed(seed, "lr-find", number))  # dropout draws from here
        loss, _ = learner.step(*next(batches), float(rates[number]), number)
        value = float(team.mean(loss))
        if not np.isfinite(value):
            break
        losses.append(value)
        recent = float(np.mean(losses[-RECENT:]))
        if recent > DIVERGED * best:
            break
        best = min(best, recent)
    logger.info("%s: %d steps of %d", model, len(losses), len(rates))
    return losses


def _endless(feed: Feed) -> Iterator[Batch]:
    """Epoch after epoch."""
    epoch = 1
    while True:
        yield from feed.batches(epoch, 0)
        epoch += 1


def _smooth(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted by a bell curve around each place; at the ends by what there is of it."""
    weights = np.exp(-(((places[:, np.newaxis] - places) / WIDTH) ** 2) / 2)
    smoothed: np.ndarray = weights @ values / weights.sum(1)
    return smoothed
