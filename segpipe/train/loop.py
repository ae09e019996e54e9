"""The epoch loop: plain PyTorch, the same to the byte each time, and resumable after any step."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from segpipe.config.stages import TrainStage
from segpipe.errors import ExitCode, InputError, InterruptedRun
from segpipe.log import TrainBar, logger, train_bar
from segpipe.models.device import choose_precision
from segpipe.train.callbacks import Trackers, open_trackers
from segpipe.train.checkpoints import Checkpoints, TrainState, training_fingerprint
from segpipe.train.data import TrainLoader
from segpipe.train.distributed import ProcessGroup, go_on_later
from segpipe.train.memory import choose_batch_size, does_not_fit, free, is_out_of_memory
from segpipe.train.roles import Roles
from segpipe.train.seeds import draw_seed, learning_rate, number_of_epochs
from segpipe.train.step import TrainStep
from segpipe.train.validation import validation_miou

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SECONDS_BETWEEN_SAVES = 1800.0  # within an epoch
STEPS_BETWEEN_CHECKS = 20  # of the losses on a GPU, because each check waits for it
EXPLODED = 1e4  # a healthy loss is below 10; 10,000 is a mean logit of thousands on the wrong side
MOST_SKIPPED = 30  # in a row; each halves the scale, and after 30 nothing is left of it


def train_to_the_end(
    stage: TrainStage,
    roles: Roles,
    shards: Path,
    model: str,
    output: Path,
    group: ProcessGroup,
    require_checkpoint: bool = False,
) -> TrainState:
    """The state after the last epoch; where ``batch_size: auto`` runs out of memory, half of it goes on.

    Raises:
        ConfigError: the batch size does not fit; with ``require_checkpoint``, no checkpoint of these settings.
        InputError: a loss that is no longer a number.
        InterruptedRun: SIGTERM or Ctrl-C; the state was saved.
    """
    most: int | None = None
    while True:
        trainer = Trainer(stage, roles, shards, model, output, group, require_checkpoint, most)
        try:
            return trainer.run()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        size = min(trainer.state.batch_size, len(roles.train))
        del trainer
        free()  # only here, where neither the error nor the trainer holds the tensors
        if stage.train.batch_size != "auto" or group.size > 1 or size == 1:
            raise does_not_fit(stage, group, size)
        most = size // 2
        logger.warning(
            "%s: out of memory with %d images a step; going on from the last checkpoint with %d", model, size, most
        )


class Trainer:
    """One model from its checkpoint, or from fresh weights, to the last epoch; at most ``most`` images a step."""

    train_step: TrainStep
    loader: TrainLoader
    stop: "StopRequest"
    bar: TrainBar

    def __init__(
        self,
        stage: TrainStage,
        roles: Roles,
        shards: Path,
        model: str,
        output: Path,
        group: ProcessGroup,
        require_checkpoint: bool = False,
        most: int | None = None,
    ) -> None:
        self.stage, self.roles, self.shards, self.model, self.output, self.group = (
            stage, roles, shards, model, output, group,
        )  # fmt: skip
        # A seed per model, or all folds would start from the same weights and see the same augmentation.
        self.seed = draw_seed(stage.seed, model)
        self.epochs = number_of_epochs(stage.train.epochs, len(roles.train))
        self.precision = choose_precision(stage.train.precision, group.device)
        self.checkpoints = Checkpoints(output / "checkpoints")
        self.skipped_in_a_row = 0  # steps of float16, over the epochs
        self.state = self._open(require_checkpoint, most)

    def run(self) -> TrainState:
        """Train the epochs that are missing; the state at the end."""
        state, group = self.state, self.group
        if self.ended():  # to write the outputs again needs no tracker and no disk space
            return state
        self.loader = TrainLoader(self.stage, self.roles.train, self.shards, self.seed, group, state.batch_size)
        logger.info(
            "%s: %d images to train, %d to validate, %d epochs, %s, %s, %d images a step%s",
            self.model, len(self.roles.train), len(self.roles.val), self.epochs, group.device, self.precision,
            self.loader.per_step, f" of {group.size} processes" if group.size > 1 else "",
        )  # fmt: skip
        self.train_step = TrainStep(self.stage, self.seed, group, state if state.weights else None)
        trackers = open_trackers(self.stage, self.model, self.output) if group.is_first else None
        steps = self.loader.steps
        done = state.epoch * steps + state.step
        with stop_requests() as self.stop, train_bar(self.model, self.epochs * steps, done) as self.bar:
            self._note_processes()
            if group.is_first:
                self.checkpoints.check_space(self.train_step.weight_bytes)
            while not self.ended():
                started, first = time.monotonic(), state.step
                self.epoch(trackers)
                self._report(time.monotonic() - started, steps - first)
                self.bar.validated(state.history[-1]["val_miou"])
        if trackers:
            trackers.close()
        return state

    def ended(self) -> bool:
        """Whether the last epoch is over, or ``patience`` is."""
        return self.state.ended(self.epochs, self.stage.train.patience)

    def epoch(self, trackers: Trackers | None) -> None:
        """Train what is left of the epoch, validate and save."""
        self._train()
        preview = self._validate()
        if trackers:  # before saving: an epoch that has to be repeated replaces what they know, none is missing
            trackers.epoch(self.state.history[-1], preview)
        self._save()
        if self.group.any(bool(self.stop)) and not self.ended():
            self._pause()

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs."""
        config, steps = self.stage.train, self.loader.steps
        return learning_rate(step, self.epochs * steps, round(config.warmup_epochs * steps), config.learning_rate)

    def _open(self, require_checkpoint: bool, most: int | None) -> TrainState:
        """The state of the checkpoint, or a fresh one."""
        fingerprint = training_fingerprint(self.stage, self.model, self.roles, self.group.device, self.precision)
        opened = self.checkpoints.open(fingerprint, require_checkpoint) if self.group.is_first else None
        state = self.group.share(opened) or TrainState(fingerprint, most or self._batch_size())
        if most and state.batch_size > most:
            state.step = state.step * state.batch_size // most  # the same images in more steps
            state.batch_size = most
        return state

    def _batch_size(self) -> int:
        wanted = self.stage.train.batch_size
        return choose_batch_size(self.stage, self.group, len(self.roles.train)) if wanted == "auto" else wanted

    def _note_processes(self) -> None:
        if self.state.processes not in (0, self.group.size):
            logger.warning(
                "%s: %d processes trained so far and %d go on; the result differs by rounding from that of one number",
                self.model, self.state.processes, self.group.size,
            )  # fmt: skip
        self.state.processes = self.group.size

    def _train(self) -> None:
        state, steps, epoch = self.state, self.loader.steps, self.state.epoch + 1
        scales = self.train_step.scaler.is_enabled()
        check = DivergenceCheck(self.group, scales, self._diverged, state.step, self.skipped_in_a_row)
        saved = time.monotonic()
        self.train_step.begin_epoch(epoch)
        for number, (images, masks) in enumerate(self.loader.batches(epoch, state.step), start=state.step):
            whole = state.epoch * steps + number
            torch.manual_seed(draw_seed(self.seed, epoch, number, self.group.rank))  # dropout draws from here
            due = check.add(*self.train_step.run(images, masks, self.rate(whole), whole))
            state.step = number + 1
            if due or state.step == steps or (self.stop and self.group.size == 1):
                state.losses += check.losses()
                saved = self._pause_or_save(saved)
            self.bar.step(epoch, state.losses[-1] if state.losses else float("nan"), self.loader.per_step)
        self.skipped_in_a_row = check.skipped_in_a_row
        if check.skipped:
            logger.info(
                "%s epoch %d: float16 overflowed in %d steps, which were skipped", self.model, epoch, check.skipped
            )

    def _pause_or_save(self, saved: float) -> float:
        """Between two steps: stop if asked to, and save in long epochs; when that was."""
        if self.group.any(bool(self.stop)):
            self.train_step.store(self.state)
            self._pause()
        if self.group.any(time.monotonic() - saved < SECONDS_BETWEEN_SAVES):
            return saved
        self.train_step.store(self.state)
        self._save()
        return time.monotonic()

    def _validate(self) -> Path | None:
        """Bring the state to the end of the epoch; the preview, if this epoch has one."""
        state, config, epoch = self.state, self.stage.train, self.state.epoch + 1
        self.train_step.store(state)
        preview = None
        if config.preview_every and (epoch % config.preview_every == 0 or epoch == self.epochs):
            preview = self.output / "previews" / f"epoch-{epoch:04d}.png"
        miou = self.group.share(self._miou(preview) if self.group.is_first else 0.0)
        if math.isnan(miou):  # of the last step's weights, which no loss has seen
            raise InputError(self._advise("outputs for validation images became NaN or infinite"))
        if miou > state.best_miou:
            state.best_miou, state.best_epoch, state.best_weights = miou, epoch, state.average or state.weights
        rate, loss = self.rate(epoch * self.loader.steps - 1), float(np.mean(state.losses))
        state.history.append({"epoch": epoch, "learning_rate": rate, "loss": loss, "val_miou": miou})
        state.epoch, state.step, state.losses = epoch, 0, []
        return preview

    def _miou(self, preview: Path | None) -> float:
        def pause_if_asked() -> None:
            if self.stop and self.group.size == 1:  # several processes would have to agree; they wait for the end
                self._pause()

        return validation_miou(
            self.train_step.evaluated, self.roles.val, self.shards, len(self.stage.classes),
            self.loader.per_process, self.group.device, preview, pause_if_asked,
        )  # fmt: skip

    def _save(self) -> None:
        if self.group.is_first:
            self.checkpoints.save(self.state)
        self.group.wait()

    def _pause(self) -> NoReturn:
        self._save()
        state = self.state
        end = self.stop.end(
            f"{self.model}: stopped in epoch {state.epoch + 1} of {self.epochs} after {state.step} of "
            f"{self.loader.steps} steps, and saved; the same command goes on from there."
        )
        if self.group.size > 1:  # torchrun hides how its processes ended: one of them asks, and the others wait for it
            if self.group.is_first:
                go_on_later(end)
            self.group.wait()
        raise end

    def _report(self, seconds: float, steps: int) -> None:
        state, last = self.state, self.state.history[-1]
        whole = seconds * self.loader.steps / max(1, steps)  # of an epoch gone on with, only a part was timed
        logger.info(
            "%s epoch %d/%d: loss %.4f, val MIoU %.4f (best %.4f in epoch %d), %.1f images/s, about %.0f s left",
            self.model, state.epoch, self.epochs, last["loss"], last["val_miou"], state.best_miou, state.best_epoch,
            steps * self.loader.per_step / seconds, whole * (self.epochs - state.epoch),
        )  # fmt: skip

    def _diverged(self, step: int, problem: str) -> str:
        images = self.loader.names(self.state.epoch + 1, step)
        return self._advise(problem, f", in the batch of {images}", ", or look at these images")

    def _advise(self, problem: str, where: str = "", besides: str = "") -> str:
        kept = "The last checkpoint is kept. " if self.checkpoints.last.exists() else ""
        return (
            f"{self.model}: {problem} in epoch {self.state.epoch + 1}{where}. {kept}Try half of train.learning_rate "
            f"({self.stage.train.learning_rate:g}){besides}."
        )


class StopRequest:
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
def stop_requests() -> Iterator[StopRequest]:
    """Note signals instead of acting on them: training ends after the step at hand, and saves what it has."""
    stop = StopRequest()
    before = {number: signal.signal(number, stop.note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class DivergenceCheck:
    """Collects what each step gave, and stops training where it is no longer sane.

    All losses are checked, but on a GPU not one by one. ``explain`` completes the message for the epoch's step of a
    given number; ``skipped_in_a_row`` goes on from the epoch before, because an epoch may have fewer steps than it
    takes to give up.
    """

    def __init__(
        self,
        group: ProcessGroup,
        scales: bool,
        explain: Callable[[int, str], str],
        first_step: int,
        skipped_in_a_row: int = 0,
    ) -> None:
        self._group, self._scales, self._explain = group, scales, explain
        self._every = 1 if group.device.type == "cpu" and group.size == 1 else STEPS_BETWEEN_CHECKS
        self._first = first_step  # number of the first step in _unchecked
        self._unchecked: list[Tensor] = []
        self.skipped_in_a_row = skipped_in_a_row
        self.skipped = 0

    def add(self, loss: Tensor, norm: Tensor) -> bool:
        """Keep a step's loss and gradient norm, on the device; whether it is time to check."""
        self._unchecked.append(torch.stack([loss, norm.to(loss.dtype)]))
        return len(self._unchecked) == self._every

    def losses(self) -> list[float]:
        """The losses since the last check, as means over all processes.

        Raises:
            InputError: one is no number or has exploded, or a gradient is no number; the text names the images.
        """
        found = self._group.mean(torch.stack(self._unchecked)).tolist() if self._unchecked else []
        for number, (loss, norm) in enumerate(found, start=self._first):
            problem = self._problem(loss, norm)
            if problem:
                raise InputError(self._explain(number, problem))
        self._first += len(found)
        self._unchecked = []
        return [loss for loss, _ in found]

    def _problem(self, loss: float, norm: float) -> str:
        if not math.isfinite(loss):
            return "the loss became NaN or infinite"
        if loss > EXPLODED:
            return f"the loss exploded to {loss:.3g}"
        if math.isfinite(norm):
            self.skipped_in_a_row = 0
        elif not self._scales:
            return "the gradient became NaN or infinite"
        else:  # too large for float16: the scaler left the weights as they were, and tries smaller
            self.skipped += 1
            self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MOST_SKIPPED:
            return f"float16 overflowed in {MOST_SKIPPED} steps in a row (use train.precision: bfloat16 or float32)"
        return ""
