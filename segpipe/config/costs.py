"""What jobs need, estimated from their images: memory and minutes for a scheduler that ends what takes more.

Seconds per image are above what benchmarks/RESULTS.md measured on a slow core, and have a headroom of five: a job that
asks for too much waits longer in the queue, one that asks for too little is lost. Each further attempt asks for as much
again. Memory counts in the two Snakemakes that a SLURM job holds beside its command, about 260 MB.
"""

import math
from typing import Any

from segpipe.config.learning import Model, Train
from segpipe.pool.gpus import gpus_wanted

START_MINUTES = 5.0  # Python, torch and a shared file system that has just been mounted
HEADROOM = 5.0
MOST_THREADS = 16  # of one shard

SECONDS_PER_IMAGE = {
    "preprocess": 0.25,  # JPEG 2000 of three million pixels: 0.13
    "predict": 0.5,  # and model; the default network on a CPU: 0.16
    "score": 0.1,  # two classes of 1024 x 1024: 0.06
    "dataset": 0.001,  # among 100,000: 0.0005
    "report": 0.002,  # among 100,000: 0.0007
}
MEMORY_MB = {
    "preprocess": 3000,  # one image may take 2 GiB (docs/safety.md)
    "predict": 2500,  # peak of the default network at 512: 600, with full pages of the store 900
    "score": 1500,
    "dataset": 1000,
    "report": 1500,
    "compare": 4000,
    "train": 8000,  # the least: libraries of CUDA, and stores in the page cache
}
MEMORY_MB_PER_THREAD = {"preprocess": 1000, "score": 500}  # processes beyond the first
MEMORY_KB_PER_IMAGE = {"dataset": 10.0, "report": 10.0}  # tables of all images: 5 and 6 KB

# What a training on a CPU keeps of a step's images, in MB for a million of their pixels: the rise of a process's peak
# over two steps (segpipe.train.memory.try_steps) from 256 to 384 pixels a side, rounded up. Then the option that says
# how wide the network is, and its default.
STEP_MB = {
    "subpixel_unet": (400, "channels", 32),
    "unet": (800, "channels", 16),
    "basicunet": (2500, "features", 32),
    "attentionunet": (2500, "channels", 16),
    "segresnet": (2400, "init_filters", 16),
    "dynunet": (1700, "filters", 16),
    "fcn": (1300, "width", 16),
    "deeplabv3plus": (2900, "", 1),
    "unet2015": (6000, "width", 64),
    "unet_strided": (8000, "width", 64),
}
TRAIN_START_MB = 2000  # torch and MONAI, weights and their copies in optimizer, average and checkpoint
TRAIN_HEADROOM = 1.5
AUTO_BATCH = 2  # images a step of train.batch_size: auto on a CPU


def threads_of_shard(shards: int) -> int:
    """Cores for a job of one of so many shards: few shards alone would leave most of a machine idle.

    It depends on the set alone, not on the machine; Snakemake scales it down to --cores.
    """
    return max(1, MOST_THREADS // max(1, shards))


def memory_mb(stage: str, images: int, attempt: int = 1, threads: int = 1) -> int:
    """Megabytes for a job of so many images."""
    fixed = MEMORY_MB[stage] + MEMORY_MB_PER_THREAD.get(stage, 0) * (threads - 1)
    return round((fixed + MEMORY_KB_PER_IMAGE.get(stage, 0.0) * images / 1000) * attempt)


def train_memory_mb(model: Model, train: Train, size: int, attempt: int = 1) -> int:
    """Megabytes for training a network on squares of ``size``.

    What a GPU holds lies in its own memory. On a CPU it is ``TRAIN_START_MB``, and for each million pixels of a step
    what the network keeps of them (``STEP_MB``), more where it is wider than by default, with half of it to spare.
    """
    if gpus_wanted(train.device):
        return MEMORY_MB["train"] * attempt
    mb, option, default = STEP_MB[model.network]
    width = _first(model.options.get(option, default)) / default
    images = AUTO_BATCH if train.batch_size == "auto" else train.batch_size
    wanted = round(TRAIN_HEADROOM * (TRAIN_START_MB + mb * width * images * size * size / 1e6))
    return max(MEMORY_MB["train"], wanted) * attempt


def _first(channels: Any) -> float:
    return float(channels[0] if isinstance(channels, list | tuple) else channels)


def minutes(stage: str, images: int, attempt: int = 1, models: int = 1) -> int:
    """Minutes for a job of so many images, each through so many models."""
    seconds = SECONDS_PER_IMAGE[stage] * images * models * HEADROOM
    return math.ceil((START_MINUTES + seconds / 60) * attempt)
