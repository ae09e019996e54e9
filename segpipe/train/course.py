"""One epoch after the other: steps, validation, and the places where training can be left."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from segpipe.errors import InputError
from segpipe.log import TrainBar, logger
from segpipe.stages import TrainStage
from segpipe.train.checkpoints import Checkpoints
from segpipe.train.distributed import Team
from segpipe.train.feed import Feed
from segpipe.train.launch import go_on_later
from segpipe.train.learner import Learner
from segpipe.train.roles import Roles
from segpipe.train.schedule import learning_rate
from segpipe.train.seeds import draw_seed
from segpipe.train.state import TrainState
from segpipe.train.stopping import StopWish
from segpipe.train.tracking import Trackers
from segpipe.train.validate import validation_miou
from segpipe.train.watch import LossWatch

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
