"""Seeds, length and learning rate as pure functions, so that resuming needs no state of generators or schedulers."""

import hashlib
import math
from typing import Literal

# Random seeds from what may decide a random number, and from nothing else.


def draw_seed(*parts: object) -> int:
    """32 bits, for numpy's RandomState and torch, that depend on the parts and on no state.

    >>> draw_seed(0, 1, "image") == draw_seed(0, 1, "image") != draw_seed(0, 2, "image")
    True
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


# Length and learning rate as pure functions, so that resuming needs no scheduler state.

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
