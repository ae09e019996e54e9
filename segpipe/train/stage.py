"""The train stage: one model, exact to the byte, resumable after any step."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from segpipe import __version__
from segpipe.config.stages import TrainStage
from segpipe.files.atomic import atomic_path, write_text
from segpipe.log import logger, train_bar
from segpipe.models.card import SEEN, ModelCard, pictures_seen
from segpipe.models.device import choose_precision, fix_arithmetic
from segpipe.models.weights import save_model
from segpipe.train.callbacks import open_trackers
from segpipe.train.checkpoints import Checkpoints, TrainState, contract, contract_hash
from segpipe.train.data import Feed
from segpipe.train.distributed import Team, join
from segpipe.train.loop import Course, listening
from segpipe.train.memory import choose_batch_size, does_not_fit, free, is_out_of_memory
from segpipe.train.roles import Roles, read_roles
from segpipe.train.scratch import nearby
from segpipe.train.seeds import draw_seed, number_of_epochs
from segpipe.train.step import Learner

# What training leaves behind for later stages and for people.


def write_outputs(
    stage: TrainStage, state: TrainState, facts: Mapping[str, str | int], seen: pd.Series, output: Path
) -> None:
    """Write ``history.csv``, and the best weights as ``model.safetensors`` with their ``model.json``.

    ``training.csv`` holds the hashes of the pictures that were ``seen``, also by the model it started from, so that
    its later users can tell them from new ones.

    Nothing here tells time, so that the same training gives the same bytes.
    """
    with atomic_path(output / "history.csv") as temporary:
        pd.DataFrame(state.history).to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    before = pictures_seen(stage.model.init) if stage.model.init else set()
    write_text(output / SEEN, "\n".join(["picture", *sorted(before.difference(seen)), *sorted(seen)]) + "\n")
    card = ModelCard(
        network=stage.model.network,
        options=stage.model.options,
        classes=stage.classes,
        preprocess=stage.preprocess.model_dump(mode="json"),
        dicom=stage.dicom.model_dump(mode="json"),
        provenance={
            **facts,
            "seed": stage.seed,
            "contract": contract_hash(state.contract),
            "batch_size": state.batch_size,
            "processes": state.processes,
            "best_epoch": state.best_epoch,
            "epochs": state.epoch,
            "val_miou": round(state.best_miou, 6),
            "segpipe": __version__,
            "torch": torch.__version__,
        },
    )
    save_model(output, state.best_weights, card)
    logger.info("%s: best val MIoU %.4f in epoch %d", facts["model"], state.best_miou, state.best_epoch)


# The training loop: plain PyTorch, exact to the byte, resumable after any step.


def train_model(
    stage: TrainStage,
    dataset: Path,
    shards: Path,
    model: str,
    output: Path,
    require_checkpoint: bool = False,
    scratch: str | None = None,
) -> None:
    """Train one model; write ``model.safetensors``, ``model.json``, ``history.csv`` and ``training.csv``.

    ``output/checkpoints`` holds the last state: whatever stops this function, the next call goes on from there and
    ends with the same bytes. If training with this very config and data was finished before, only the outputs are
    written again. Under torchrun this is one of several processes that train the model together. With ``scratch``, a
    folder of this node, the shards are read from a copy there.

    Raises:
        InputError: a role without images, or a loss that is no longer a number.
        ConfigError: what does not fit into memory; with ``require_checkpoint``, no checkpoint of these settings.
        InterruptedRun: SIGTERM or Ctrl-C; the state was saved.
    """
    with join(stage.train.device) as team:
        if not team.leads:
            logger.setLevel(logging.ERROR)  # the first process tells the rest
        fix_arithmetic(stage.train.threads, stage.train.deterministic, stage.train.tf32)
        roles = read_roles(dataset, stage, model)
        with nearby(shards, roles.shards, scratch) as stores:
            trainer = Trainer(stage, roles, stores, model, output, team, require_checkpoint)
            state = trainer.run()
        if team.leads:
            seen = pd.concat([roles.train["picture"], roles.val["picture"]])
            write_outputs(stage, state, trainer.facts(), seen, output)


@dataclass
class Trainer:
    """One run of one model; :meth:`run` reads top to bottom."""

    stage: TrainStage
    roles: Roles
    shards: Path
    model: str
    output: Path
    team: Team
    require_checkpoint: bool = False

    def __post_init__(self) -> None:
        self.precision = choose_precision(self.stage.train.precision, self.team.device)
        # A seed per model, or all folds would start from the same weights and see the same augmentation.
        self.seed = draw_seed(self.stage.seed, self.model)
        self.epochs = number_of_epochs(self.stage.train.epochs, len(self.roles.train))
        self.checkpoints = Checkpoints(self.output / "checkpoints")
        self.size = 0  # images a step
        self.most: int | None = None  # of them, after running out of memory

    def run(self) -> TrainState:
        """Train to the end; where ``batch_size: auto`` ran out of memory, go on from the checkpoint with half."""
        while True:
            try:
                return self._run()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            free()  # only here, where the error no longer holds the tensors
            self._shrink()

    def facts(self) -> dict[str, str | int]:
        """What the model's card says of how it came to be."""
        return {
            "model": self.model,
            "device": self.team.device.type,
            "precision": str(self.precision).removeprefix("torch."),
            "train_images": len(self.roles.train),
            "train_patients": self.roles.train["patient"].nunique(),
            "val_images": len(self.roles.val),
            "val_patients": self.roles.val["patient"].nunique(),
        }

    def _run(self) -> TrainState:
        state, learner, feed = self._begin()
        steps = feed.batching.steps
        # Finished training needs no server to write its outputs again.
        tracked = self.team.leads and not state.ended(self.epochs, self.stage.train.patience)
        trackers = open_trackers(self.stage, self.model, self.output) if tracked else None
        done = state.epoch * steps + state.step
        with listening() as stop, train_bar(self.model, self.epochs * steps, done) as bar:
            course = Course(
                self.stage, self.model, self.roles, self.epochs, self.shards, self.output, self.team, self.seed, feed,
                state, learner, self.checkpoints, stop, bar, trackers,
            )  # fmt: skip
            if not course.ended:
                self._note_processes(state)
                if self.team.leads:
                    self.checkpoints.check_space(learner.weight_bytes)
            while not course.ended:
                started, first = time.monotonic(), state.step
                course.epoch()
                self._report(state, time.monotonic() - started, steps - first, feed)
                bar.validated(state.history[-1]["val_miou"])
        if trackers:
            trackers.close()
        return state

    def _begin(self) -> tuple[TrainState, Learner, Feed]:
        """The state of the checkpoint, or a fresh one, and what goes on from it."""
        found = contract(self.stage, self.model, self.roles, self.team.device, self.precision)
        opened = self.checkpoints.open(found, self.require_checkpoint) if self.team.leads else None
        kept = self.team.share(opened)
        state = kept or TrainState(found, self.most or self._batch_size())
        if self.most and state.batch_size > self.most:
            state.step = state.step * state.batch_size // self.most  # the same images in more steps
            state.batch_size = self.most
        self.size = state.batch_size
        feed = Feed(self.stage, self.roles.train, self.shards, self.seed, self.team, state.batch_size)
        logger.info(
            "%s: %d images to train, %d to validate, %d epochs, %s, %s, %d images a step%s",
            self.model, len(self.roles.train), len(self.roles.val), self.epochs, self.team.device, self.precision,
            feed.batching.per_step, f" of {self.team.size} processes" if self.team.size > 1 else "",
        )  # fmt: skip
        learner = Learner(self.stage, self.seed, self.team, fresh=kept is None)
        if kept:
            learner.load(kept)
        return state, learner, feed

    def _note_processes(self, state: TrainState) -> None:
        if state.processes not in (0, self.team.size):
            logger.warning(
                "%s: %d processes trained so far and %d go on; the result differs by rounding from that of one number",
                self.model, state.processes, self.team.size,
            )  # fmt: skip
        state.processes = self.team.size

    def _batch_size(self) -> int:
        wanted = self.stage.train.batch_size
        return choose_batch_size(self.stage, self.team, len(self.roles.train)) if wanted == "auto" else wanted

    def _shrink(self) -> None:
        size = min(self.size, len(self.roles.train))
        if self.stage.train.batch_size != "auto" or self.team.size > 1 or size == 1:
            raise does_not_fit(self.stage, self.team, size)
        self.most = size // 2
        logger.warning(
            "%s: out of memory with %d images a step; going on from the last checkpoint with %d",
            self.model, size, self.most,
        )  # fmt: skip

    def _report(self, state: TrainState, seconds: float, steps: int, feed: Feed) -> None:
        last, total = state.history[-1], self.epochs
        whole = seconds * feed.batching.steps / max(1, steps)  # of an epoch gone on with, only a part was timed
        logger.info(
            "%s epoch %d/%d: loss %.4f, val MIoU %.4f (best %.4f in epoch %d), %.1f images/s, about %.0f s left",
            self.model, state.epoch, total, last["loss"], last["val_miou"], state.best_miou, state.best_epoch,
            steps * feed.batching.per_step / seconds, whole * (total - state.epoch),
        )  # fmt: skip
