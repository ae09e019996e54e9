"""The training step: the network and all that changes its weights, on the device."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError, in_a_line
from segpipe.log import logger
from segpipe.models.device import autocast, choose_layout, choose_precision, compiled, to_input
from segpipe.models.weights import network_of
from segpipe.train.checkpoints import TrainState, Weights
from segpipe.train.distributed import ProcessGroup
from segpipe.train.finetune import freeze_encoder, load_initial
from segpipe.train.losses import build_loss

BATCH_NORM = nn.modules.batchnorm._BatchNorm
LARGEST_BLOCK = 4  # convolutions: a residual bottleneck with its shortcut


class TrainStep:
    """Network, moving average, optimizer and gradient scaler.

    Goes on from ``state``; without one, from random weights that follow from ``seed``, or from ``model.init``.
    """

    def __init__(self, stage: TrainStage, seed: int, group: ProcessGroup, state: TrainState | None = None) -> None:
        config = stage.train
        self.group, self.device, self._config = group, group.device, config
        self.precision = choose_precision(config.precision, self.device)
        self._layout = choose_layout(config.channels_last, self.device, self.precision)
        torch.manual_seed(seed)
        network = network_of(stage.model, len(stage.classes))
        if state is None and stage.model.init:
            load_initial(network, stage.model.init, stage)
        self.network = group.with_shared_statistics(network).to(self.device)
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
        if state:
            self._load(state)

    @property
    def evaluated(self) -> nn.Module:
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
            forward = self.group.with_mean_gradients(self.network)
            self._forward = compiled(forward) if self._config.compile else forward
        self._frozen = frozen

    def run(self, images: Tensor, masks: Tensor, rate: float, number: int) -> tuple[Tensor, Tensor]:
        """One step on (n, 1, size, size) in [0, 1] and (n, classes, size, size) 0/1; ``number`` counts all of them.

        Loss and norm of the (scaled) gradient stay on the device: to look at them is to wait for it.
        """
        for options in self.optimizer.param_groups:
            options["lr"] = rate
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

    def _load(self, state: TrainState) -> None:
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
        sgd = torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)
        for parameter in parameters:  # torch cannot begin with some of them, as where an encoder is frozen at first
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)  # five times as fast as one by one


def _copy(network: nn.Module) -> Weights:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}


class Average:
    """Exponential moving average of a network's parameters and floating-point buffers.

    It is smoother than the weights themselves (Tarvainen and Valpola 2017).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay
        mine, theirs = self.network.state_dict(), network.state_dict()  # both share memory with their networks
        floating = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        self._averaged = [mine[name] for name in floating], [theirs[name] for name in floating]
        self._copied = [(mine[name], theirs[name]) for name in mine if name not in set(floating)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After each step, counted from 0 over all epochs; in the first ones the average follows faster."""
        average = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
        average(*self._averaged, None)
        for mine, theirs in self._copied:  # counters
            mine.copy_(theirs)


def recompute_blocks(network: nn.Module) -> int:
    """Make every block of a network forget its activations; how many there are.

    Gradient checkpointing (Chen 2016): activations within a block are computed again when needed, instead of kept. A
    block is the largest module with at most four convolutions, so that this fits networks of any design. Names and
    values of the weights, and all results, stay the same.
    """
    found = list(_blocks(network))
    for block in found:
        block.forward = partial(_forgetful, block, block.forward)
    return len(found)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    convolutions = sum(isinstance(part, nn.modules.conv._ConvNd) for part in module.modules())
    has_parts = next(module.children(), None) is not None
    if has_parts and 0 < convolutions <= LARGEST_BLOCK:
        yield module
    elif convolutions > LARGEST_BLOCK:
        for child in module.children():
            yield from _blocks(child)


def _forgetful(block: nn.Module, forward: Any, *inputs: Any, **named: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **named)
    # torch.compile knows no contexts of this kind, so only blocks that need them get them
    own: dict[str, Any] = {}
    if any(isinstance(part, BATCH_NORM) for part in block.modules()):
        own["context_fn"] = partial(_contexts, block)
    return checkpoint(forward, *inputs, use_reentrant=False, **own, **named)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """While a block runs for the second time, its running statistics must not move for the second time."""
    kept = [(module, dict(module._buffers)) for module in block.modules() if isinstance(module, BATCH_NORM)]
    for module, buffers in kept:
        module._buffers.update({name: tensor.clone() for name, tensor in buffers.items() if tensor is not None})
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
