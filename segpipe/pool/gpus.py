"""The GPUs of this machine, without torch, and one of its own for each job where no scheduler hands them out.

Each GPU has a slot: a locked file in a folder of this user. The kernel releases the lock when the job ends, whatever
ends it. Jobs of other users and other programs hold no slots; docs/gpu.md says what to do about them.
"""

import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from segpipe.errors import ConfigError
from segpipe.files.lock import Lock, private_folder
from segpipe.log import logger

DRIVER = Path("/dev/nvidiactl")  # there when NVIDIA's driver is loaded, in containers with GPUs, too
DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
NODES = Path("/dev")
SECONDS = 60.0  # nvidia-smi wakes the driver of a machine with many GPUs
VISIBLE = "CUDA_VISIBLE_DEVICES"
GIVEN = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "LOCAL_RANK")  # SLURM, or who called torchrun, has chosen already
SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_LINES = 1.0, 60.0

_GPU = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)", re.M)
_PART = re.compile(r"^ +MIG .*\(UUID: (MIG-[^)]+)\)", re.M)
_FACTS = {name: re.compile(rf"^{name}:\s*(\S+)", re.M) for name in ("GPU UUID", "Device Minor")}

# Until the process ends: CUDA keeps its devices that long, too.
_held: list[Lock] = []
_folders: list[int] = []


def gpus_wanted(device: Literal["auto", "cpu", "cuda"]) -> int:
    """GPUs that a job should ask its scheduler for: none where the config or this machine has none.

    The workflow asks whenever it is parsed.
    """
    return int(device == "cuda" or (device == "auto" and DRIVER.exists()))


def list_gpus() -> list[str]:
    """UUIDs, or numbers in the order of the PCI bus where no UUIDs are told; empty without a GPU.

    UUIDs mean the same device in every process, whatever CUDA_DEVICE_ORDER says. Of a GPU that is divided (MIG), the
    parts are listed: CUDA lets a process use one of them.
    """
    return _by_nvidia_smi() or _by_driver() or _by_nodes()


def parse_nvidia_smi(text: str) -> list[str]:
    """UUIDs in the output of ``nvidia-smi -L``."""
    found: list[str] = []
    for block in re.split(r"^(?=GPU )", text, flags=re.M):
        found += _PART.findall(block) or _GPU.findall(block)
    return found


def _by_nvidia_smi() -> list[str]:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_nvidia_smi(done.stdout)


def _by_driver() -> list[str]:
    """What the driver tells, of those devices whose node is here: a container may see more than it may use."""
    found: list[str] = []
    for path in sorted(DRIVER_FOLDER.glob("*/information")):
        text = path.read_text(encoding="utf-8", errors="replace")
        facts = {name: match.group(1) for name, pattern in _FACTS.items() if (match := pattern.search(text))}
        if len(facts) < len(_FACTS) or "?" in facts["GPU UUID"]:
            return []
        if (NODES / f"nvidia{facts['Device Minor']}").exists():
            found.append(facts["GPU UUID"])
    return found


def _by_nodes() -> list[str]:
    """CUDA counts the devices that are here from 0, whatever the numbers of their nodes."""
    nodes = [path for path in NODES.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit()]
    return [str(number) for number in range(len(nodes))]


def take_gpus(
    device: Literal["auto", "cpu", "cuda"], count: int = 1, list_devices: Callable[[], list[str]] = list_gpus
) -> list[str]:
    """Wait for ``count`` free devices, set CUDA_VISIBLE_DEVICES to them and keep them until this process ends.

    To be called before CUDA is touched. Where CUDA_VISIBLE_DEVICES names more than ``count`` devices, those are what
    jobs share out; where it names as many or fewer, the user has chosen. Nothing happens then, and the result is empty,
    as it is where SLURM has chosen, in the processes that torchrun starts, with ``device="cpu"``, and on a machine
    without GPUs.

    Raises:
        ConfigError: the machine has fewer devices.
        InputError: see :func:`segpipe.files.lock.private_folder`.
    """
    visible = os.environ.get(VISIBLE)
    chosen = None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    if device == "cpu" or any(name in os.environ for name in GIVEN) or (chosen is not None and len(chosen) <= count):
        return []
    devices = list_devices()
    if not devices:
        return []
    if chosen:
        devices = [_by_number(name, devices) for name in chosen]
    if len(devices) < count:
        raise ConfigError(f"This job wants {count} GPUs, but this machine has {len(devices)}. Ask for fewer.")
    taken = _wait_for(slots_of(devices), count)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # what numbers mean, where there are no UUIDs
    os.environ[VISIBLE] = ",".join(taken)
    logger.info("GPU of this job: %s (of %d %s)", ", ".join(taken), len(devices), "chosen" if chosen else "here")
    return taken


def _by_number(name: str, devices: list[str]) -> str:
    """The UUID of a device named by its number in nvidia-smi; one name for each, or it had two slots."""
    divided = any(device.startswith("MIG-") for device in devices)
    return devices[int(name)] if name.isdecimal() and int(name) < len(devices) and not divided else name


def slots_of(devices: list[str]) -> dict[str, Lock]:
    """The slot of each device."""
    folder = private_folder(Path(tempfile.gettempdir()))
    _keep(folder)
    return {device: Lock(folder / f"gpu-{device.replace('/', '_')}.lock") for device in devices}


def _keep(folder: Path) -> None:
    """Hold the folder, too: systemd, which removes old files from /tmp, leaves out what is in a locked folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _folders.append(descriptor)


def _wait_for(slots: dict[str, Lock], count: int) -> list[str]:
    said: float | None = None
    while not (taken := _take(slots, count)):
        if said is None or time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            holders = sorted({slot.read_note() for slot in slots.values()} - {""})
            logger.info(
                "waiting for %d of %d GPUs: other jobs have them (%s); with `--resources gpu=%d` no job has to wait",
                count, len(slots), ", ".join(holders) or "unknown", len(slots),
            )  # fmt: skip
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return taken


def _take(slots: dict[str, Lock], count: int) -> list[str]:
    """All of them or none: two jobs that each keep a part would wait for each other for ever."""
    taken: list[str] = []
    for number, (device, slot) in enumerate(slots.items()):
        if slot.take():
            taken.append(device)
        if len(taken) == count:
            _held.extend(slots[name] for name in taken)
            for name in taken:
                slots[name].note(f"process {os.getpid()}")
            return taken
        if len(taken) + len(slots) - number - 1 < count:
            break
    for device in taken:
        slots[device].release()
    return []
