"""The epoch loop: steps, validation, and the places where training can be left."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from segpipe.config.stages import TrainStage
from segpipe.errors import ExitCode, InputError, InterruptedRun
from segpipe.log import TrainBar, logger
from segpipe.train.callbacks import Trackers
from segpipe.train.checkpoints import Checkpoints, TrainState
from segpipe.train.data import Feed
from segpipe.train.distributed import Team, go_on_later
from segpipe.train.roles import Roles
from segpipe.train.seeds import draw_seed, learning_rate
from segpipe.train.step import Learner
from segpipe.train.validation import validation_miou

# Asked to stop: training ends after the step at hand, and saves what it has.

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopWish:
    """Whether someone asked for the end: a scheduler by SIGTERM, a person by Ctrl-C."""

    def __init__(self) -> None:
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0

    def note(self, number: int, _: Any) -> None:
        """A signal came. A second Ctrl-C does not wait for the step; a second SIGTERM comes from torchrun."""
        if self.signal == number == signal.SIGINT:
            raise self.end("stopped at once; the last checkpoint is kept")
        self.signal = number

    def end(self, message: str) -> InterruptedRun:
        """What ends the command, with the exit code of the signal that came (of SIGTERM, if another process got it)."""
        interrupted = self.signal == signal.SIGINT
        return InterruptedRun(message, ExitCode.INTERRUPTED if interrupted else ExitCode.SAVED)


@contextmanager
def listening() -> Iterator[StopWish]:
    """Note signals instead of acting on them; outside of the main thread, where none arrive, do nothing."""
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish.note) for number in SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Looks at the losses of an epoch's steps: all of them, but on a GPU not one by one, because each look waits for it.

STEPS_BETWEEN = 20
EXPLODED = 1e4  # a healthy loss is below 10; 10,000 is a mean logit of thousands on the wrong side
MOST_SKIPPED = 30  # in a row; each halves the scale, and after 30 nothing is left of it


class LossWatch:
    """Collects what each step gave, and stops training where it is no longer sane.

    ``explain`` completes the message for the epoch's step of a given number; ``skipped_in_a_row`` goes on from the
    epoch before, because an epoch may have fewer steps than it takes to give up.
    """

    def __init__(
        self,
        team: Team,
        scales: bool,
        explain: Callable[[int, str], str],
        first_step: int,
        skipped_in_a_row: int = 0,
    ) -> None:
        self._team, self._scales, self._explain = team, scales, explain
        self._every = 1 if team.device.type == "cpu" and team.size == 1 else STEPS_BETWEEN
        self._first = first_step  # number of the first step in _seen
        self._seen: list[Tensor] = []
        self.skipped_in_a_row = skipped_in_a_row
        self.skipped = 0

    def add(self, loss: Tensor, norm: Tensor) -> bool:
        """Keep a step's loss and gradient norm, on the device; whether it is time to look."""
        self._seen.append(torch.stack([loss, norm.to(loss.dtype)]))
        return len(self._seen) == self._every

    def look(self) -> list[float]:
        """The losses since the last look, as means over all processes.

        Raises:
            InputError: one is no number or has exploded, or a gradient is no number; the text names the images.
        """
        found = self._team.mean(torch.stack(self._seen)).tolist() if self._seen else []
        for number, (loss, norm) in enumerate(found, start=self._first):
            problem = self._problem(loss, norm)
            if problem:
                raise InputError(self._explain(number, problem))
        self._first += len(found)
        self._seen = []
        return [loss for loss, _ in found]

    def _problem(self, loss: float, norm: float) -> str:
        if not _finite(loss):
            return "the loss became NaN or infinite"
        if loss > EXPLODED:
            return f"the loss exploded to {loss:.3g}"
        if _finite(norm):
            self.skipped_in_a_row = 0
        elif not self._scales:
            return "the gradient became NaN or infinite"
        else:  # too large for float16: the scaler left the weights as they were, and tries smaller
            self.skipped += 1
            self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MOST_SKIPPED:
            return f"float16 overflowed in {MOST_SKIPPED} steps in a row (use train.precision: bfloat16 or float32)"
        return ""


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


# One epoch after the other: steps, validation, and the places where training can be left.

SECONDS_BETWEEN_SAVES = 1800.0  # within an epoch


@dataclass
class Course:
    """A state and the learner that is in it, on their way to the last epoch."""

    stage: TrainStage
    model: str
    roles: Roles
    epochs: int
    shards: Path
    output: Path
    team: Team
    seed: int
    feed: Feed
    state: TrainState
    learner: Learner
    checkpoints: Checkpoints
    stop: StopWish
    bar: TrainBar
    trackers: Trackers | None = None
    skipped_in_a_row: int = 0  # steps of float16, over the epochs

    @property
    def ended(self) -> bool:
        """Whether the last epoch is over, or ``patience`` is."""
        return self.state.ended(self.epochs, self.stage.train.patience)

    def epoch(self) -> None:
        """Train what is left of the epoch, validate and save."""
        self._train()
        preview = self._validate()
        if self.trackers:  # before saving: an epoch that has to be repeated replaces what they know, none is missing
            self.trackers.epoch(self.state.history[-1], preview)
        self._save()
        if self.team.any(bool(self.stop)) and not self.ended:
            self._pause()

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs."""
        config, steps = self.stage.train, self.feed.batching.steps
        return learning_rate(step, self.epochs * steps, round(config.warmup_epochs * steps), config.learning_rate)

    def _train(self) -> None:
        state, steps, epoch = self.state, self.feed.batching.steps, self.state.epoch + 1
        scales = self.learner.scaler.is_enabled()
        watch = LossWatch(self.team, scales, self._diverged, state.step, self.skipped_in_a_row)
        saved = time.monotonic()
        self.learner.begin_epoch(epoch)
        for number, (images, masks) in enumerate(self.feed.batches(epoch, state.step), start=state.step):
            whole = state.epoch * steps + number
            torch.manual_seed(draw_seed(self.seed, epoch, number, self.team.rank))  # dropout draws from here
            due = watch.add(*self.learner.step(images, masks, self.rate(whole), whole))
            state.step = number + 1
            if due or state.step == steps or (self.stop and self.team.size == 1):
                state.losses += watch.look()
                saved = self._leave_or_save(saved)
            self.bar.step(epoch, state.losses[-1] if state.losses else float("nan"), self.feed.batching.per_step)
        self.skipped_in_a_row = watch.skipped_in_a_row
        if watch.skipped:
            logger.info(
                "%s epoch %d: float16 overflowed in %d steps, which were skipped", self.model, epoch, watch.skipped
            )

    def _leave_or_save(self, saved: float) -> float:
        """Between two steps: stop if asked to, and save in long epochs; when that was."""
        if self.team.any(bool(self.stop)):
            self.learner.store(self.state)
            self._pause()
        if self.team.any(time.monotonic() - saved < SECONDS_BETWEEN_SAVES):
            return saved
        self.learner.store(self.state)
        self._save()
        return time.monotonic()

    def _validate(self) -> Path | None:
        """Bring the state to the end of the epoch."""
        state, config, epoch = self.state, self.stage.train, self.state.epoch + 1
        self.learner.store(state)
        preview = None
        if config.preview_every and (epoch % config.preview_every == 0 or epoch == self.epochs):
            preview = self.output / "previews" / f"epoch-{epoch:04d}.png"
        miou = self.team.share(self._miou(preview) if self.team.leads else 0.0)
        if math.isnan(miou):  # of the last step's weights, which no loss has seen
            raise InputError(self._advise("outputs for validation images became NaN or infinite"))
        if miou > state.best_miou:
            state.best_miou, state.best_epoch, state.best_weights = miou, epoch, state.average or state.weights
        rate, loss = self.rate(epoch * self.feed.batching.steps - 1), float(np.mean(state.losses))
        state.history.append({"epoch": epoch, "learning_rate": rate, "loss": loss, "val_miou": miou})
        state.epoch, state.step, state.losses = epoch, 0, []
        return preview

    def _miou(self, preview: Path | None) -> float:
        def leave_if_asked() -> None:
            if self.stop and self.team.size == 1:  # several processes would have to agree; they wait for the end
                self._pause()

        return validation_miou(
            self.learner.judged, self.roles.val, self.shards, len(self.stage.classes),
            self.feed.batching.per_process, self.team.device, preview, leave_if_asked,
        )  # fmt: skip

    def _save(self) -> None:
        if self.team.leads:
            self.checkpoints.save(self.state)
        self.team.wait()

    def _pause(self) -> NoReturn:
        self._save()
        state = self.state
        end = self.stop.end(
            f"{self.model}: stopped in epoch {state.epoch + 1} of {self.epochs} after {state.step} of "
            f"{self.feed.batching.steps} steps, and saved; the same command goes on from there."
        )
        if self.team.size > 1:  # torchrun hides how its processes ended: one of them asks, and the others wait for it
            if self.team.leads:
                go_on_later(end)
            self.team.wait()
        raise end

    def _diverged(self, step: int, problem: str) -> str:
        images = self.feed.names(self.state.epoch + 1, step)
        return self._advise(problem, f", in the batch of {images}", ", or look at these images")

    def _advise(self, problem: str, where: str = "", besides: str = "") -> str:
        kept = "The last checkpoint is kept. " if self.checkpoints.last.exists() else ""
        return (
            f"{self.model}: {problem} in epoch {self.state.epoch + 1}{where}. {kept}Try half of train.learning_rate "
            f"({self.stage.train.learning_rate:g}){besides}."
        )
