"""Gradient checkpointing: activations within a block are computed again when needed, instead of kept (Chen 2016)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

BATCH_NORM = nn.modules.batchnorm._BatchNorm
LARGEST_BLOCK = 4  # convolutions: a residual bottleneck with its shortcut


def recompute_blocks(network: nn.Module) -> int:
    """Make every block of a network forget its activations; how many there are.

    A block is the largest module with at most four convolutions, so that this fits networks of any design. Names and
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
    # torch.compile knows no contexts of this kind, so only who needs them gets them
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
