"""Reading ahead and writing behind: threads keep the network busy, and results are recorded in the order of the
pictures.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from segpipe.errors import InputError
from segpipe.log import logger, plain

# Reading ahead: what comes next is made in a thread while the network is busy.

Item = TypeVar("Item")

SECONDS_TO_LOOK = 1.0  # after which a side that waits looks whether the other is still there
SECONDS_TO_STOP = 2.0


class _End:
    """Nothing more comes; with what ended it, if that is an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class ReadAhead(Iterator[Item], Generic[Item]):
    """The items of an iterator, of which up to ``room`` wait here and one more is in the making.

    A context manager, since the thread ends with the block. What the iterator raises is raised here, at its place,
    with its own traceback. The thread is a daemon: one that hangs on a dead disk keeps no process alive.
    """

    def __init__(self, items: Iterator[Item], room: int) -> None:
        self._items, self._ended = items, False
        self._queue: queue.Queue[Item | _End] = queue.Queue(room)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="reads ahead", daemon=True)

    def __next__(self) -> Item:
        while not self._ended:
            try:
                found = self._queue.get(timeout=SECONDS_TO_LOOK)
            except queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    raise RuntimeError("the thread that reads ahead ended without a word") from None
                continue
            if not isinstance(found, _End):
                return found
            self._ended = True
            if found.error:
                raise found.error
        raise StopIteration

    def __enter__(self) -> "ReadAhead[Item]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(SECONDS_TO_STOP)

    def _fill(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=SECONDS_TO_LOOK)
            except queue.Full:
                continue
            return True
        return False


# Writing behind: threads finish what the network gave, and the results are recorded in the order they were given.
#
# Restoring, encoding and writing release Python's lock, so threads work beside the network. They are daemons, unlike
# those of an executor, which Python waits for before it ends: one that hangs on a dead disk keeps no process alive.

Result = TypeVar("Result")

SECONDS_TO_WARN, SECONDS_TO_WRITE = 60.0, 1800.0  # a hanging disk must not hang the run for ever
SECONDS_TO_STOP_WRITING = 20.0  # schedulers send SIGKILL 30 seconds after SIGTERM


class WriteBehind(Generic[Item, Result]):
    """Applies ``work`` to items in ``threads`` threads, and ``keep`` to each item and result in this one, in order.

    At most ``room`` items are here at a time: :meth:`put` waits. ``name`` is what messages call an item. A context
    manager; if its block ends by an error or a signal, what was handed in is finished and kept all the same.
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        keep: Callable[[Item, Result], None],
        name: Callable[[Item], str],
        threads: int,
        room: int,
    ) -> None:
        self._work, self._keep, self._name, self._room = work, keep, name, room
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._todo: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, name="writes", daemon=True) for _ in range(threads)]

    def put(self, item: Item) -> Iterator[Item]:
        """Hand in an item; yields those that were kept meanwhile.

        Raises:
            InputError: an item took more than half an hour; and whatever ``work`` raises, with the item's name added.
        """
        yield from self._kept(self._room - 1)
        task = (item, Future[Result]())
        self._waiting.append(task)
        self._todo.put(task)

    def finish(self) -> Iterator[Item]:
        """Wait for all; yields those that were kept."""
        yield from self._kept(0)

    def __enter__(self) -> "WriteBehind[Item, Result]":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wait([future for _, future in self._waiting], SECONDS_TO_STOP_WRITING)
        for item, future in self._waiting:
            future.cancel()  # unless a thread has it
            with suppress(Exception):  # the block's own error is the one to tell of
                self._keep(item, future.result(timeout=0))
        self._waiting.clear()
        for _ in self._threads:
            self._todo.put(None)

    def _serve(self) -> None:
        """One thread's work, until there is no more."""
        while (task := self._todo.get()) is not None:
            item, future = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._work(item))
            except BaseException as error:
                future.set_exception(error)

    def _kept(self, most: int) -> Iterator[Item]:
        """Keep, in order, what is done, and wait until no more than ``most`` are left."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0][1].done()):
            item, future = self._waiting[0]
            result = self._result(item, future)
            self._waiting.popleft()
            self._keep(item, result)
            yield item

    def _result(self, item: Item, future: Future[Result]) -> Result:
        waited = 0.0
        while waited < SECONDS_TO_WRITE:
            try:
                if wait([future], SECONDS_TO_WARN).done:
                    return future.result()
            except Exception as error:
                error.add_note(f"while the masks of {plain(self._name(item))} were made and written")
                raise
            waited += SECONDS_TO_WARN
            logger.warning("the masks of %s are not written after %.0f s", plain(self._name(item)), waited)
        raise InputError(
            f"The masks of {plain(self._name(item))} were not written within {SECONDS_TO_WRITE / 60:.0f} minutes; the "
            "disk hangs. Run the same command again when it answers: masks that are finished are kept."
        )
