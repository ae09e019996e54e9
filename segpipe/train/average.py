"""The moving average of the weights, which is smoother than the weights themselves (Tarvainen and Valpola 2017)."""

import copy

import torch
from torch import nn


class Average:
    """Exponential moving average of a network's parameters and floating-point buffers."""

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
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        for mine, theirs in self._copied:  # counters
            mine.copy_(theirs)
