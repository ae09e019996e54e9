"""GPUs of this machine, told without importing torch: the workflow asks whenever it is parsed."""

from pathlib import Path
from typing import Literal

DRIVER = Path("/dev/nvidiactl")  # there when NVIDIA's driver is loaded, in containers with GPUs, too


def gpus_wanted(device: Literal["auto", "cpu", "cuda"]) -> int:
    """GPUs that a job should ask its scheduler for: none where the config or this machine has none."""
    return int(device == "cuda" or (device == "auto" and DRIVER.exists()))
