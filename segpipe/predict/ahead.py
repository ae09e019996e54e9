"""Reading ahead: what comes next is made in a thread while the network is busy."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

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
