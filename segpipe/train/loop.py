"""The training loop: plain PyTorch, exact to the byte, resumable after any epoch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from segpipe.errors import InputError
from segpipe.log import logger, train_bar
from segpipe.model.device import autocast, choose_device, choose_precision, fix_arithmetic
from segpipe.model.inputs import to_input
from segpipe.model.weights import network_of
from segpipe.stages import TrainStage
from segpipe.train.augment.draws import RECIPES
from segpipe.train.augment.listed import ListedAugmentation
from segpipe.train.contract import contract
from segpipe.train.data import Batch, Pictures, batches, epoch_order, listed_batches
from segpipe.train.losses import build_loss
from segpipe.train.outputs import write_outputs
from segpipe.train.schedule import learning_rate
from segpipe.train.seeds import draw_seed
from segpipe.train.state import TrainState, load_state, save_state
from segpipe.train.validate import validation_miou


def train_model(stage: TrainStage, dataset: Path, shards: Path, model: str, output: Path) -> None:
    """Train one fold's model; write ``model.safetensors``, ``model.json`` and ``history.csv``.

    ``output/checkpoints`` holds the state after the last whole epoch: whatever stops this function, the
    next call goes on from there and ends with the same bytes. If training with this very config and data
    was finished before, only the outputs are written again.

    Raises:
        InputError: a role without images, or a loss that is no longer a number.
    """
    fix_arithmetic(stage.train.threads)
    rows = pd.read_parquet(dataset)
    rows = rows[rows["status"] == "labelled"]
    trainer = Trainer(stage, _role(rows, model, "train"), _role(rows, model, "val"), shards, model, output)
    state = trainer.run()
    seen = pd.concat([trainer.train_rows["picture"], trainer.val_rows["picture"]])
    write_outputs(stage, state, trainer.facts(), seen, output)


@dataclass
class Trainer:
    """One run of one model; :meth:`run` reads top to bottom."""

    stage: TrainStage
    train_rows: pd.DataFrame
    val_rows: pd.DataFrame
    shards: Path
    model: str
    output: Path

    def __post_init__(self) -> None:
        config = self.stage.train
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.classes = len(self.stage.classes)
        # A seed per model, or all folds would start from the same weights and see the same augmentation.
        self.seed = draw_seed(self.stage.seed, self.model)
        self.contract = contract(self.stage, self.model, self.train_rows, self.val_rows, self.device.type)
        wanted = config.augment
        self.listed = (
            None if isinstance(wanted, str) else ListedAugmentation(wanted, self.seed, list(self.stage.classes))
        )
        self.drop_last = len(self.train_rows) > config.batch_size  # a rest of one image upsets batch statistics
        whole, rest = divmod(len(self.train_rows), config.batch_size)
        self.steps_per_epoch = whole if self.drop_last else whole + (rest > 0)
        self.checkpoint = self.output / "checkpoints" / "last.pt"

    def run(self) -> TrainState:
        """Train until the last epoch, or until ``patience`` epochs bring nothing better."""
        config = self.stage.train
        torch.manual_seed(self.seed)
        network = network_of(self.stage.model, self.classes).to(self.device)
        optimizer = _optimizer(network, config.optimizer, config.learning_rate, config.weight_decay)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        state = load_state(self.checkpoint, self.contract) or self._fresh(network, optimizer, scaler)
        network.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
        scaler.load_state_dict(state.scaler)
        logger.info(
            "%s: %d images to train, %d to validate, %s, %s",
            self.model, len(self.train_rows), len(self.val_rows), self.device, self.precision,
        )  # fmt: skip
        with train_bar(self.model, config.epochs * self.steps_per_epoch, state.epoch * self.steps_per_epoch) as bar:
            while state.epoch < config.epochs and not self._out_of_patience(state):
                started = time.monotonic()
                loss = self._epoch(network, optimizer, scaler, state.epoch + 1, bar)
                self._record(state, network, optimizer, scaler, loss)
                save_state(state, self.checkpoint)
                self._report(state, time.monotonic() - started, bar)
        return state

    def facts(self) -> dict[str, str | int]:
        """What the model's card says of how it came to be."""
        return {
            "model": self.model,
            "device": self.device.type,
            "train_images": len(self.train_rows),
            "val_images": len(self.val_rows),
        }

    def _epoch(self, network: nn.Module, optimizer: Any, scaler: Any, epoch: int, bar: Any) -> float:
        """One pass over the training images; the mean loss."""
        config, loss_of = self.stage.train, build_loss(self.stage.train.loss)
        torch.manual_seed(draw_seed(self.seed, epoch))  # dropout draws from here
        network.train()
        rows = epoch_order(self.train_rows, self.seed, epoch)
        losses = []
        for number, (images, masks) in enumerate(self._batches(rows, epoch)):
            _set_learning_rate(optimizer, self._rate((epoch - 1) * self.steps_per_epoch + number))
            with autocast(self.device, self.precision):
                logits = network(to_input(images))
            loss = loss_of(logits.float(), masks)
            if not torch.isfinite(loss):
                raise InputError(self._diverged(epoch, rows.iloc[number * config.batch_size :][: config.batch_size]))
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(float(loss.detach()))
            bar.step(epoch, losses[-1], len(images))
        return float(np.mean(losses))

    def _batches(self, rows: pd.DataFrame, epoch: int) -> Iterator[Batch]:
        """An epoch's batches, augmented: on the device, or by the user's list of MONAI transforms."""
        config, pictures = self.stage.train, Pictures(rows, self.shards, self.classes)
        if self.listed:
            return listed_batches(
                pictures, config.batch_size, self.device, self.drop_last, self.listed, epoch, config.workers
            )
        recipe = RECIPES[config.augment] if isinstance(config.augment, str) else None
        return batches(pictures, config.batch_size, self.device, self.drop_last, recipe, self.seed, epoch)

    def _record(self, state: TrainState, network: nn.Module, optimizer: Any, scaler: Any, loss: float) -> None:
        """Validate, and bring the state to the end of the epoch."""
        state.epoch += 1
        every = self.stage.train.preview_every
        preview = None
        if every and (state.epoch % every == 0 or state.epoch == self.stage.train.epochs):
            preview = self.output / "previews" / f"epoch-{state.epoch:04d}.png"
        miou = validation_miou(
            network, self.val_rows, self.shards, self.classes, self.stage.train.batch_size, self.device, preview
        )
        state.weights, state.optimizer, state.scaler = _copy(network), optimizer.state_dict(), scaler.state_dict()
        if miou > state.best_miou:
            state.best_miou, state.best_epoch, state.best_weights = miou, state.epoch, state.weights
        rate = self._rate(state.epoch * self.steps_per_epoch - 1)
        state.history.append({"epoch": state.epoch, "learning_rate": rate, "loss": loss, "val_miou": miou})

    def _report(self, state: TrainState, seconds: float, bar: Any) -> None:
        last, total = state.history[-1], self.stage.train.epochs
        bar.validated(last["val_miou"])
        logger.info(
            "%s epoch %d/%d: loss %.4f, val MIoU %.4f (best %.4f in epoch %d), %.1f images/s, about %.0f s left",
            self.model, state.epoch, total, last["loss"], last["val_miou"], state.best_miou, state.best_epoch,
            self.steps_per_epoch * self.stage.train.batch_size / seconds, seconds * (total - state.epoch),
        )  # fmt: skip

    def _fresh(self, network: nn.Module, optimizer: Any, scaler: Any) -> TrainState:
        weights = _copy(network)
        return TrainState(self.contract, 0, weights, optimizer.state_dict(), scaler.state_dict(), weights)

    def _rate(self, step: int) -> float:
        config = self.stage.train
        warmup = round(config.warmup_epochs * self.steps_per_epoch)
        return learning_rate(step, config.epochs * self.steps_per_epoch, warmup, config.learning_rate)

    def _out_of_patience(self, state: TrainState) -> bool:
        patience = self.stage.train.patience
        return patience > 0 and state.epoch - state.best_epoch >= patience

    def _diverged(self, epoch: int, rows: pd.DataFrame) -> str:
        return (
            f"{self.model}: the loss became NaN or infinite in epoch {epoch}, in the batch of "
            f"{', '.join(rows['image_id'])}. The checkpoint of epoch {epoch - 1} is kept. Try half of "
            f"train.learning_rate ({self.stage.train.learning_rate:g}), or look at these images."
        )


def _role(rows: pd.DataFrame, model: str, role: str) -> pd.DataFrame:
    chosen = rows[rows[f"role:{model}"] == role]
    if chosen.empty:
        raise InputError(
            f"{model}: none of the {len(rows)} labelled images has the role {role!r}. Folds are drawn by patient; use "
            "fewer folds, another seed, a larger folds.val_fraction, or your own folds.column."
        )
    return chosen


def _optimizer(network: nn.Module, name: str, rate: float, decay: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=decay)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(network.parameters(), lr=rate, weight_decay=decay)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}
