"""Length and learning rate as pure functions, so that resuming needs no scheduler state."""

import math
from typing import Literal

PICTURES = 6400  # seen in a training of automatic length: what a small set gains most from (docs/training.md)
FEWEST, MOST = 10, 300  # epochs


def number_of_epochs(wanted: int | Literal["auto"], images: int) -> int:
    """``auto``: as many as show the network about 6,400 pictures, from 10 to 300.

    >>> number_of_epochs("auto", 80), number_of_epochs("auto", 5), number_of_epochs("auto", 100_000)
    (80, 300, 10)
    """
    return min(MOST, max(FEWEST, round(PICTURES / images))) if wanted == "auto" else wanted


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine down to zero at ``steps`` (Loshchilov 2017)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
