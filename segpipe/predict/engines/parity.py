"""Does an engine compute what PyTorch computes? The first batch of every run answers that."""

import torch
from torch import Tensor

from segpipe.errors import ConfigError
from segpipe.predict.engines.engine import Engine, Logits

AT_ONCE = 4  # pictures; float32 takes more memory than the precision for which a batch was found to fit
# Of a probability. Other orders of float32 sums leave 1e-5; half precision is meant to differ.
LIMITS = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.1}


def parity(inputs: Tensor, run: Logits, reference: Logits) -> float:
    """The largest difference of a probability."""
    found = torch.sigmoid(run(inputs))
    wanted = torch.cat([torch.sigmoid(reference(part)) for part in torch.split(inputs, AT_ONCE)])
    return float((found - wanted).abs().max())


def check_parity(difference: float, engine: Engine, model: str) -> None:
    """Refuse an engine whose probabilities are others.

    With ``predict.engine: auto``, too: had another engine taken over here, bytes would depend on the first pictures.

    Raises:
        ConfigError: the difference is more than rounding.
    """
    limit = LIMITS[engine.setting.precision_name]
    if not difference <= limit:  # NaN is no parity either
        raise ConfigError(
            f"Engine {engine} gives other probabilities than PyTorch: on the "
            f"first batch of model {model} they differ by up to {difference:.3g}, and {limit:g} is allowed. No mask "
            "was made with it. Set predict.engine: torch and predict.precision: float32, and please report the "
            "network's name and options."
        )
