"""``predict.batch_size: auto``."""

from collections.abc import Sequence
from typing import Literal

import torch

from segpipe.errors import ConfigError
from segpipe.log import logger
from segpipe.predict.engines.engine import Logits

ON_A_CPU = 4
MOST = 32  # more does not fill a GPU better, and with the same number on most GPUs, most give the same bits


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
