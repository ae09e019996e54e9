"""What one item may take of the machine, and how the system is told."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """What one item may take.

    CPU time counts, since it does not depend on who else uses the machine; the kernel ends the worker that has used
    it up. Wall time is a last resort against what waits and never works. ``memory_bytes`` is what a worker
    may allocate beyond what it has at its start; what goes beyond fails as if the machine had no more.
    """

    cpu_seconds: int
    memory_bytes: int = 2 * GIB

    @property
    def wall_seconds(self) -> float:
        """Ten times the CPU time, but at least a minute."""
        return max(60.0, 10.0 * self.cpu_seconds)


@dataclass(frozen=True)
class Lost:
    """In place of a result: why there is none. The text starts with a verb and holds nothing of the item."""

    reason: str


def limit_memory(limits: Limits) -> None:
    """Bound this process's private memory (RLIMIT_DATA, Linux); leave no core dump, which would hold pixels."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = _private_bytes()
    if now:
        _lower(resource.RLIMIT_DATA, now + limits.memory_bytes)


def limit_cpu(limits: Limits) -> None:
    """Have the kernel end this process (SIGXCPU) when it has used ``cpu_seconds`` more than now, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_seconds)


def _lower(kind: int, wanted: int) -> None:
    """Set the soft limit, which can be raised again later, within a hard limit that the system may have set."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _private_bytes() -> int:
    """What RLIMIT_DATA counts, of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
