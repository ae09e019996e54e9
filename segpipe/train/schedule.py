"""Learning rate as a pure function of the step, so that resuming needs no scheduler state."""

import math


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine down to zero at ``steps`` (Loshchilov 2017)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
