"""Which engine computes, how many pictures at once, and whether it computes what PyTorch computes.

The engine is chosen by the config and by what is installed, never by how much there is to do: it may change the last
bit of a probability, and with it a pixel, so all shards of a run have the same.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from segpipe.config import Predict
from segpipe.config.stages import NEEDED, fastest_on_a_cpu, not_installed
from segpipe.errors import ConfigError
from segpipe.log import logger
from segpipe.models.device import choose_precision
from segpipe.predict.openvino_engine import OpenVino
from segpipe.predict.pipeline import Cores
from segpipe.predict.postprocess import build_inferer
from segpipe.predict.torch_engine import Compiled, Eager, Engine, Logits

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Eager, Compiled, OpenVino)}
PRECISIONS = {"openvino": (torch.float32, torch.bfloat16)}

AT_ONCE = 4  # pictures in PyTorch; float32 takes more memory than the precision for which a batch was found to fit
# Largest difference of a probability. Other orders of float32 sums leave 1e-5; half precision is meant to differ.
LIMITS = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.1}

ON_A_CPU = 4  # pictures at a time with predict.batch_size: auto
MOST = 32  # on a GPU: more does not fill it better, and with the same number on most GPUs, most give the same bits


def choose_engine(predict: Predict, size: int, device: torch.device, cores: Cores, decided: str = "") -> Engine:
    """The engine of ``predict.engine``, for pictures of ``size`` x ``size``.

    ``decided`` is what ``auto`` means on a CPU in the whole run; without it, what is installed here decides.

    Raises:
        ConfigError: it is not installed, or cannot do what the other settings ask for.
    """
    inferer = None if predict.inferer == "whole" else build_inferer(predict, size)
    name = predict.engine if predict.engine != "auto" else decided or fastest_on_a_cpu()
    engine = ENGINES[name](size, device, choose_precision(predict.precision, device), cores, inferer)
    limit, missing = _limit(engine), not_installed(name)
    if predict.engine == "auto" and limit:
        return Eager(size, device, engine.precision, cores, inferer)
    packages = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if missing and predict.engine == "auto":
        raise ConfigError(
            f"predict.engine: auto is {name} in this run, as it was installed where the run was scanned, but here "
            f"{packages}, and all shards must have the same engine. Install the same packages "
            f"everywhere (pip install 'segpipe[{name}]'), or set predict.engine: torch."
        )
    if missing or limit:
        obstacle = f"{packages}: pip install 'segpipe[{name}]'." if missing else limit
        raise ConfigError(f"predict.engine: {name}, but {obstacle}")
    return engine


def _limit(engine: Engine) -> str:
    """What an engine cannot do that the settings ask for, and what to do; empty where it can do all."""
    if engine.name != "torch" and engine.inferer:
        return "it takes whole pictures only. Set predict.inferer: whole, or predict.engine: torch."
    if engine.name in NEEDED and engine.device.type != "cpu":
        return "it computes on a CPU here. Set predict.device: cpu, or predict.engine: torch."
    if engine.precision not in PRECISIONS.get(engine.name, (engine.precision,)):
        return f"it does not compute in {engine.precision_name}. Set predict.precision: float32, or engine: torch."
    return ""


def parity(inputs: Tensor, run: Logits, reference: Logits) -> float:
    """The largest difference of a probability; the first batch of every run tells."""
    found = torch.sigmoid(run(inputs))
    wanted = torch.cat([torch.sigmoid(reference(part)) for part in torch.split(inputs, AT_ONCE)])
    return float((found - wanted).abs().max())


def check_parity(difference: float, engine: Engine, model: str) -> None:
    """Refuse an engine whose probabilities are others.

    With ``predict.engine: auto``, too: had another engine taken over here, bytes would depend on the first pictures.

    Raises:
        ConfigError: the difference is more than rounding.
    """
    limit = LIMITS[engine.precision_name]
    if not difference <= limit:  # NaN is no parity either
        raise ConfigError(
            f"Engine {engine} gives other probabilities than PyTorch: on the "
            f"first batch of model {model} they differ by up to {difference:.3g}, and {limit:g} is allowed. No mask "
            "was made with it. Set predict.engine: torch and predict.precision: float32, and please report the "
            "network's name and options."
        )


def choose_batch_size(
    wanted: int | Literal["auto"], networks: Sequence[Logits], size: int, device: torch.device
) -> int:
    """Images at a time: ``wanted``, or what is best here. On CUDA it is found by trying ``networks``.

    Raises:
        ConfigError: not even one image fits.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return ON_A_CPU
    from segpipe.train.memory import largest_that_fits

    found = largest_that_fits(lambda images: _try(networks, images, size, device), MOST)
    if not found:
        raise ConfigError(
            f"predict.batch_size: auto: not even one picture of {size} x {size} fits into the GPU's memory. Is another "
            "program using it? Else set predict.device: cpu."
        )
    logger.info("predict.batch_size: auto is %d", found)
    return found


def _try(networks: Sequence[Logits], images: int, size: int, device: torch.device) -> None:
    """Raises torch.OutOfMemoryError where they do not fit, leaving room for fragments."""
    from segpipe.train.memory import MOST_OF_MEMORY

    inputs = torch.zeros(images, 1, size, size, device=device)
    for network in networks:
        torch.sigmoid(network(inputs))
    torch.cuda.synchronize()
    if torch.cuda.max_memory_reserved() > MOST_OF_MEMORY * torch.cuda.get_device_properties(device).total_memory:
        raise torch.OutOfMemoryError(f"more than {MOST_OF_MEMORY:.0%} of the memory")
