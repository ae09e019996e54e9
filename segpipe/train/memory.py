"""Batch sizes and memory: what fits, found by trying."""

import gc
from collections.abc import Callable

import torch

from segpipe.config.stages import TrainStage
from segpipe.errors import ConfigError
from segpipe.log import logger
from segpipe.train.augment import POLICIES, augment, draw
from segpipe.train.data import to_values
from segpipe.train.distributed import ProcessGroup
from segpipe.train.step import TrainStep

ON_A_CPU = 2  # more images a step save no time there
FEWEST_STEPS = 10  # an epoch; fewer, larger steps would use the GPU better and train the model worse
MOST_OF_MEMORY = 0.9  # the rest is for validation, which comes between, and for fragments


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's memory, or the machine's, ran out."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def free() -> None:
    """Give back what is no longer used, so that the next attempt starts from the same."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def largest_that_fits(attempt: Callable[[int], None], most: int) -> int:
    """The largest power of two up to ``most`` that ``attempt`` gets through, by doubling; 0 if not even 1."""
    fits, size = 0, 1
    while size <= most and _succeeds(attempt, size):
        fits, size = size, 2 * size
    return fits


def choose_batch_size(stage: TrainStage, group: ProcessGroup, images: int) -> int:
    """``train.batch_size: auto``: images a step, of all processes.

    Raises:
        ConfigError: not even one image fits.
    """
    if group.device.type == "cpu":
        size = -(-ON_A_CPU // group.size) * group.size
        logger.info("train.batch_size: auto is %d on a CPU", size)
        return size
    most = max(1, images // FEWEST_STEPS // group.size)
    fits = group.least(largest_that_fits(lambda size: try_steps(stage, group.device, size), most))
    if fits == 0:
        raise ConfigError(_hopeless(stage, group.device))
    limit = "memory" if 2 * fits <= most else f"the {images} training images: an epoch keeps {FEWEST_STEPS} steps"
    logger.info("train.batch_size: auto is %d (%d for each process), limited by %s", fits * group.size, fits, limit)
    return fits * group.size


def try_steps(stage: TrainStage, device: torch.device, images: int) -> None:
    """Two steps, because the optimizer takes its memory in the first, with augmentation, on pictures of noise.

    Raises:
        torch.OutOfMemoryError: they do not fit.
    """
    train_step = TrainStep(_without_init(stage), 0, ProcessGroup(device))
    train_step.begin_epoch(epoch=1 + stage.train.freeze_encoder_epochs)
    size = stage.preprocess.size
    stored = torch.randint(0, 256, (images, size, size), dtype=torch.uint8, device=device)
    for number in range(2):
        batch = to_values(stored, stored, len(stage.classes))
        batch = augment(*batch, draw(POLICIES["strong"], 0, number, [str(index) for index in range(images)]))
        train_step.run(*batch, 1e-6, number)
    if device.type == "cuda":
        torch.cuda.synchronize()
        total = torch.cuda.get_device_properties(device).total_memory
        if torch.cuda.max_memory_reserved() > MOST_OF_MEMORY * total:
            raise torch.OutOfMemoryError(f"more than {MOST_OF_MEMORY:.0%} of the memory")


def does_not_fit(stage: TrainStage, group: ProcessGroup, size: int) -> ConfigError:
    """What to tell a user whose batch size is too large: the one that would fit, and what else helps."""
    share = -(-size // group.size)
    fits = largest_that_fits(lambda images: try_steps(stage, group.device, images), share - 1)
    if fits == 0:
        return ConfigError(_hopeless(stage, group.device))
    found = f"auto chose {size}, which" if stage.train.batch_size == "auto" else f"{size}"
    instead = "that" if stage.train.batch_size == "auto" else "that or to auto"
    return ConfigError(
        f"train.batch_size: {found} does not fit into the memory of {_memory(group.device)}; {fits * group.size} would "
        f"(found by trying). Set it to {instead}, or save memory: {_savings(stage)}. Training then begins "
        "again; the checkpoint of this batch size is set aside."
    )


def _hopeless(stage: TrainStage, device: torch.device) -> str:
    return f"Not even one image a step fits into the memory of {_memory(device)}. Save memory: {_savings(stage)}."


def _savings(stage: TrainStage) -> str:
    ways = [f"a preprocess.size below {stage.preprocess.size}", f"a smaller network than {stage.model.network}"]
    if not stage.train.gradient_checkpointing:
        ways.insert(0, "train.gradient_checkpointing: true")
    return ", ".join(ways)


def _memory(device: torch.device) -> str:
    if device.type == "cpu":
        return "this machine"
    properties = torch.cuda.get_device_properties(device)
    return f"this {properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def _succeeds(attempt: Callable[[int], None], size: int) -> bool:
    try:
        attempt(size)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        free()
    return True


def _without_init(stage: TrainStage) -> TrainStage:
    return stage.model_copy(update={"model": stage.model.model_copy(update={"init": None})})
