"""What jobs need, estimated from their images: memory and minutes for a scheduler that ends what takes more.

Seconds per image are above what benchmarks/RESULTS.md measured on a slow core, and have a headroom of five: a job that
asks for too much waits longer in the queue, one that asks for too little is lost. Each further attempt asks for as much
again. Memory counts in the two Snakemakes that a SLURM job holds beside its command, about 260 MB.
"""

import math

START_MINUTES = 5.0  # Python, torch and a shared file system that has just been mounted
HEADROOM = 5.0

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
    "train": 8000,
}
MEMORY_KB_PER_IMAGE = {"dataset": 10.0, "report": 10.0}  # tables of all images: 5 and 6 KB


def memory_mb(stage: str, images: int, attempt: int = 1) -> int:
    """Megabytes for a job of so many images."""
    return round((MEMORY_MB[stage] + MEMORY_KB_PER_IMAGE.get(stage, 0.0) * images / 1000) * attempt)


def minutes(stage: str, images: int, attempt: int = 1, models: int = 1) -> int:
    """Minutes for a job of so many images, each through so many models."""
    seconds = SECONDS_PER_IMAGE[stage] * images * models * HEADROOM
    return math.ceil((START_MINUTES + seconds / 60) * attempt)
