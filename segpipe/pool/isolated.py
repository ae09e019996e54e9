"""A pool of isolated workers: a function on untrusted files, each in a process that may hang, crash or take too much.

:mod:`multiprocessing` and :mod:`concurrent.futures` know no limit on the CPU time of one item, lose all that is in hand
when a worker dies, and take items in without end. This is the caller's side: which worker has which items, and what to
say of an item whose worker died.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from segpipe.log import logger
from segpipe.pool.worker import GIB, Answer, ItemFailure, Limits, Line, Started, receive, send, serve

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_HAND = 2  # items that a worker has: the one it works on, and the next
AHEAD = 4  # answers per worker that wait for an earlier one
SECONDS_TO_DIE = 10.0
SECONDS_TO_START = 600.0  # on a network file system Python may take minutes


@contextmanager
def isolated_map(
    prepare: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Iterable[Item],
    limits: Limits,
    workers: int = 1,
) -> Iterator[Iterator[Result | ItemFailure]]:
    """An iterator over ``prepare(*arguments)(item)`` of all items, in order, with :class:`ItemFailure` where it failed.

    Workers are copies of a helper process that has imported the module of ``prepare`` (of this process's first call).
    They start with the block, and while the caller looks at a result its worker is busy with the next item. Items must
    be small; results may be large. What a worker logs comes out here. The workers end with the block. Another thread
    may iterate; the iteration then ends with the block, too.

    Raises:
        SegpipeError: ``prepare`` raised it.
        RuntimeError: a worker did not start.
    """
    pool: _WorkerPool[Item, Result] = _WorkerPool(prepare, arguments, iter(items), limits, workers)
    try:
        pool.hand_out()
        yield pool.results()
    finally:
        pool.close()


def start_helper(prepare: Callable[..., object]) -> None:
    """Start the helper process of :func:`isolated_map` now: it imports while this process goes on."""
    multiprocessing.set_forkserver_preload([prepare.__module__])
    with _undisturbed():
        forkserver.ensure_running()


class _Worker:
    """A process, the pipe to it, and the items (with their numbers) that it was given and has not answered."""

    def __init__(self, context: Any, task: tuple[Any, ...]) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = context.Process(target=serve, args=(theirs, logger.level, *task), daemon=True)
        with _undisturbed():
            self.process.start()
        theirs.close()
        self.pending: deque[tuple[int, Any]] = deque()
        self.ready, self.answers, self.since = False, 0, time.monotonic()

    def give(self, number: int, item: Any) -> None:
        if not self.pending:
            self.since = time.monotonic()
        self.pending.append((number, item))
        with suppress(OSError):  # it has died, and that shows when its answer is read
            send(self.pipe, item)

    def deadline(self, limits: Limits) -> float:
        """When it is given up, if it says nothing before."""
        return self.since + (limits.wall_seconds if self.ready else SECONDS_TO_START)

    def exit_code(self) -> int | None:
        """How it ended, after it closed its end of the pipe."""
        self.process.join(SECONDS_TO_DIE)
        code: int | None = self.process.exitcode
        return code

    def end(self) -> None:
        self.process.kill()
        self.process.join(SECONDS_TO_DIE)  # longer only where the system waits for a file system that is gone
        self.pipe.close()


class _WorkerPool(Generic[Item, Result]):
    def __init__(
        self,
        prepare: Callable[..., Callable[[Item], Result]],
        arguments: tuple[Any, ...],
        items: Iterator[Item],
        limits: Limits,
        size: int,
    ) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([prepare.__module__])
        self.task, self.limits, self.size = (limits, prepare, arguments), limits, size
        self.workers: list[_Worker] = []
        self.closed = False  # by another thread than the one that waits for results
        self.todo = enumerate(items)
        self.done: dict[int, Result | ItemFailure] = {}

    def results(self) -> Iterator[Result | ItemFailure]:
        """Of all items, in their order."""
        following = 0
        while not self.closed:
            self.hand_out()
            if following in self.done:
                yield self.done.pop(following)
                following += 1
            elif any(worker.pending for worker in self.workers):
                self._wait()
            else:
                return

    def close(self) -> None:
        self.closed = True
        for worker in tuple(self.workers):
            worker.end()
        self.workers.clear()

    def hand_out(self) -> None:
        """Give out items until every worker has enough, or too many answers wait for an earlier one."""
        for depth in range(1, IN_HAND + 1):
            for position in range(self.size):
                if position < len(self.workers) and len(self.workers[position].pending) >= depth:
                    continue
                waiting = len(self.done) + sum(len(worker.pending) for worker in self.workers)
                if waiting >= self.size * (IN_HAND + AHEAD):
                    return
                found = next(self.todo, None)
                if found is None:
                    return
                if position == len(self.workers):
                    self.workers.append(_Worker(self.context, self.task))
                self.workers[position].give(*found)

    def _wait(self) -> None:
        """Take what has come, or wait for it, or give up on the worker that took too long."""
        busy = [worker for worker in self.workers if worker.pending]
        deadline = min(worker.deadline(self.limits) for worker in busy)
        heard = set(wait([worker.pipe for worker in busy], max(0.0, deadline - time.monotonic())))
        for worker in () if self.closed else busy:
            if worker.pipe in heard:
                self._listen(worker)
            elif time.monotonic() >= worker.deadline(self.limits):
                self._give_up(worker)

    def _listen(self, worker: _Worker) -> None:
        try:
            message = receive(worker.pipe)
        except Exception:  # end of file, or half a message of one that was killed
            self._bury(worker)
            return
        match message:
            case Line(level, text):
                logger.log(level, "%s", text)
            case Started(None):
                worker.ready, worker.since = True, time.monotonic()
            case Started(Exception() as error):
                raise error
            case Answer(result):
                number, _ = worker.pending.popleft()
                self.done[number] = result
                worker.answers, worker.since = worker.answers + 1, time.monotonic()

    def _bury(self, worker: _Worker) -> None:
        """Say why a worker died; an item that was not its first gets another chance.

        A decoder that wrote where it should not may bring its worker down only at a later, innocent item. And what
        the system killed for want of memory may have been in the way of others.
        """
        code = worker.exit_code()
        if not worker.ready:
            raise RuntimeError(f"a process that reads images ended while it started (exit code {code}).")
        if code == -signal.SIGXCPU:
            self._blame(
                worker,
                f"took more than {self.limits.cpu_seconds} s of CPU time to read (data.seconds_per_image); "
                "the file is damaged, or made to keep its readers busy",
            )
        elif worker.answers:
            self._replace(worker)
        else:
            self._blame(worker, _reason(code, self.limits))

    def _give_up(self, worker: _Worker) -> None:
        if not worker.ready:
            raise RuntimeError(f"a process that reads images did not start within {SECONDS_TO_START:.0f} s.")
        self._blame(
            worker,
            f"was not read within {self.limits.wall_seconds:.0f} s (ten times data.seconds_per_image); "
            "its disk or its decoder hangs",
        )

    def _blame(self, worker: _Worker, reason: str) -> None:
        number, _ = worker.pending.popleft()
        self.done[number] = ItemFailure(reason)
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        """A new worker, which goes on with what the old one had in hand."""
        worker.end()
        self.workers.remove(worker)
        if worker.pending:
            self.workers.append(fresh := _Worker(self.context, self.task))
            for number, item in worker.pending:
                fresh.give(number, item)


def _reason(code: int | None, limits: Limits) -> str:
    """Why a worker that died with this exit code brought no result."""
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return (
        f"crashed its decoder ({how}); the file is damaged, or needs more than {limits.memory_bytes / GIB:g} GiB of "
        "memory to read; export it again"
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes that no Ctrl-C reaches, and that import nothing from the folder they happen to run in."""
    before = os.environ.get("PYTHONSAFEPATH")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
