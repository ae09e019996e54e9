"""Looks at the losses of an epoch's steps: all of them, but on a GPU not one by one, because each look waits for it."""

from collections.abc import Callable

import torch
from torch import Tensor

from segpipe.errors import InputError
from segpipe.train.distributed import Team

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
