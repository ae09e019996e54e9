"""The worker's side of the pool: take an item, answer with a result, until the caller hangs up or a limit ends it."""

import ctypes
import fcntl
import logging
import os
import pickle
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segpipe.errors import SegpipeError
from segpipe.log import logger

GIB = 2**30
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST_KEPT, KEPT = 32 * 2**20, 128 * 2**20  # bytes; 32 MiB is the most that glibc takes


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
class ItemFailure:
    """In place of a result: why there is none. The text starts with a verb and holds nothing of the item."""

    reason: str


@dataclass(frozen=True)
class Line:
    """A line for the log."""

    level: int
    text: str


@dataclass(frozen=True)
class Started:
    """The worker is ready for items, or could not start for this reason."""

    error: Exception | None = None


@dataclass(frozen=True)
class Answer:
    """What became of the item that was given first of those without an answer."""

    result: Any


def send(pipe: Connection, message: Any) -> None:
    """A message into the pipe, arrays behind it without copies: ``pipe.send`` takes ten times as long."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    pipe.send_bytes(len(buffers).to_bytes(4, "big") + text)
    for buffer in buffers:
        pipe.send_bytes(buffer.raw())


def receive(pipe: Connection) -> Any:
    """The next message, its arrays read-only; EOFError when the other side is gone."""
    message = pipe.recv_bytes()
    count = int.from_bytes(message[:4], "big")
    return pickle.loads(message[4:], buffers=[pipe.recv_bytes() for _ in range(count)])


def serve(
    pipe: Connection, level: int, limits: Limits, prepare: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """The life of a worker."""
    _stand_alone()
    _log_into(pipe, level)
    try:
        function = prepare(*arguments)
    except SegpipeError as error:
        return send(pipe, Started(error))
    except Exception:
        return send(pipe, Started(RuntimeError(f"a worker could not start:\n{traceback.format_exc()}")))
    keep_freed_memory()
    limit_memory(limits)
    send(pipe, Started())
    while True:
        try:
            item = receive(pipe)
        except EOFError:
            return None
        limit_cpu(limits)
        send(pipe, Answer(_attempt(function, item)))


def _attempt(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except BaseException as error:  # a panic of a decoder in Rust is no Exception
        # The text of the exception may quote the file; its kind and place may not.
        kind = type(error).__name__
        logger.warning("unforeseen %s:\n%s", kind, "".join(traceback.format_tb(error.__traceback__)))
        return ItemFailure(f"made segpipe fail ({kind}); the log has the place, please report it")


def _stand_alone() -> None:
    """End at once with the process that wants the results, not before; print nothing.

    A decoder's own messages go straight to standard error and may quote a header, so they are thrown away.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; who wants the results ends us
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    parent = parent_process()
    assert parent is not None
    # The sentinel is a pipe that the kernel closes with the parent. Its signal, SIGIO, also ends a busy decoder.
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)


def _log_into(pipe: Connection, level: int) -> None:
    logger.setLevel(level)
    logger.propagate = False
    logger.handlers = [_PipeHandler(pipe)]


class _PipeHandler(logging.Handler):
    """Sends lines to the process that has the log file."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        send(self.pipe, Line(record.levelno, record.getMessage()))


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


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks of up to 32 MiB, 128 MiB in all; False where the C library is another.

    Left alone, it gives a picture's megabytes back to the system after every step and gets them back zeroed, page by
    page: a third of the CPU time of an uncompressed 16-bit radiograph. A process's peak hardly changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(M_TRIM_THRESHOLD, KEPT))
