"""The names of this machine's GPUs as CUDA_VISIBLE_DEVICES takes them, without torch."""

import re
import subprocess
from pathlib import Path

DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
NODES = Path("/dev")
SECONDS = 60.0  # nvidia-smi wakes the driver of a machine with many GPUs

_GPU = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)", re.M)
_PART = re.compile(r"^ +MIG .*\(UUID: (MIG-[^)]+)\)", re.M)
_FACTS = {name: re.compile(rf"^{name}:\s*(\S+)", re.M) for name in ("GPU UUID", "Device Minor")}


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
