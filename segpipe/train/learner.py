"""The network and all that changes its weights, on the device: one training step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from segpipe.errors import ConfigError, in_a_line
from segpipe.log import logger
from segpipe.model.device import autocast, choose_layout, choose_precision, compiled
from segpipe.model.inputs import to_input
from segpipe.model.weights import network_of
from segpipe.stages import TrainStage
from segpipe.train.average import Average
from segpipe.train.distributed import Team
from segpipe.train.encoder import freeze_encoder
from segpipe.train.losses import build_loss
from segpipe.train.recompute import recompute_blocks
from segpipe.train.start import load_initial
from segpipe.train.state import TrainState, Weights


class Learner:
    """Network, moving average, optimizer and gradient scaler.

    A ``fresh`` one starts from random weights that follow from ``seed``, or from ``model.init``; one that is not is
    to be given a state.
    """

    def __init__(self, stage: TrainStage, seed: int, team: Team, fresh: bool = True) -> None:
        config = stage.train
        self.team, self.device, self._config = team, team.device, config
        self.precision = choose_precision(config.precision, self.device)
        self._layout = choose_layout(config.channels_last, self.device, self.precision)
        torch.manual_seed(seed)
        network = network_of(stage.model, len(stage.classes))
        if fresh and stage.model.init:
            load_initial(network, stage.model.init, stage)
        self.network = team.prepare(network).to(self.device)
        self.network.to(memory_format=self._layout)  # type: ignore[call-overload]  # missing in torch's stubs
        self.average = Average(self.network, config.ema) if config.ema else None
        if config.gradient_checkpointing:  # after the average's copy, which is never trained
            blocks = recompute_blocks(self.network)
            logger.info("train.gradient_checkpointing: %d blocks forget their activations", blocks)
        self.optimizer = _optimizer(self.network, config.optimizer, config.learning_rate, config.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self._loss_of = build_loss(config.loss)
        self._forward: Callable[[Tensor], Any] | None = None
        self._frozen = False

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the average of the weights if there is one."""
        return self.average.network if self.average else self.network

    @property
    def weight_bytes(self) -> int:
        """Of the network."""
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

    def begin_epoch(self, epoch: int) -> None:
        """Into training mode; the encoder is frozen in the first epochs if the config says so. Epochs count from 1."""
        frozen = epoch <= self._config.freeze_encoder_epochs
        self.network.train()
        freeze_encoder(self.network, epoch, self._config.freeze_encoder_epochs)
        if self._forward is None or frozen != self._frozen:  # torch's parallel wrapper counts what has gradients
            forward = self.team.parallel(self.network)
            self._forward = compiled(forward) if self._config.compile else forward
        self._frozen = frozen

    def step(self, images: Tensor, masks: Tensor, rate: float, number: int) -> tuple[Tensor, Tensor]:
        """One step on (n, 1, size, size) in [0, 1] and (n, classes, size, size) 0/1; ``number`` counts all of them.

        Loss and norm of the (scaled) gradient stay on the device: to look at them is to wait for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss_of(self._logits(to_input(images).to(memory_format=self._layout)), masks)
        self.scaler.scale(loss).backward()
        norm = get_total_norm([tensor.grad for tensor in self.network.parameters() if tensor.grad is not None])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(number)
        return loss.detach(), norm

    def store(self, state: TrainState) -> None:
        """Into the state, which is to be saved before the next step."""
        state.weights = _copy(self.network)
        state.average = _copy(self.average.network) if self.average else {}
        state.optimizer, state.scaler = self.optimizer.state_dict(), self.scaler.state_dict()

    def load(self, state: TrainState) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state.weights)
        if self.average:
            self.average.network.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.scaler.load_state_dict(state.scaler)

    def _logits(self, images: Tensor) -> Tensor | list[Tensor]:
        assert self._forward is not None, "begin_epoch first"
        try:
            with autocast(self.device, self.precision):
                logits: Tensor | list[Tensor] = self._forward(images)
                return logits
        except torch._dynamo.exc.TorchDynamoException as error:
            text = in_a_line(error)
            raise ConfigError(f"train.compile: torch cannot compile here ({text}). Set it to false.") from None


def _optimizer(network: nn.Module, name: str, rate: float, decay: float) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)  # five times as fast as one by one


def _copy(network: nn.Module) -> Weights:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}
