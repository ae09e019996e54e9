"""What one process costs: CPU time and the peak of its memory, as the kernel counts them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What one process needed; ``cpu_s`` is that of its children, too, ``rss_mb`` is its own."""

    cpu_s: float
    wall_s: float
    rss_mb: float


def call(
    command: Sequence[str], log: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command, its output into ``log``; stop where it fails.

    The peak is the kernel's own (VmHWM), read every 10 ms, since what wait4 says of a child is never below what its
    parent had.
    """
    started, peak = time.monotonic(), 0
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, _peak_kb(process.pid))
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command[:8])} failed:\n{log.read_text()[-3000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - started, peak / 1024)


def _peak_kb(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:  # not Linux, or just gone
        return 0
    return int(found[1]) if found else 0
