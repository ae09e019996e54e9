"""What runs beside the network: the next items are read ahead, and results are finished and recorded behind it.

Reading, restoring, encoding and writing release Python's lock, so threads work beside each other. They are daemons,
unlike those of an executor, which Python waits for before it ends: one that hangs on a dead disk keeps no process
alive.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TypeVar

from segpipe.errors import InputError
from segpipe.log import logger, plain

Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS_TO_LOOK = 1.0  # after which a side that waits looks whether the other is still there
SECONDS_TO_STOP = 2.0
SECONDS_TO_WARN, SECONDS_TO_WRITE = 60.0, 1800.0  # a hanging disk must not hang the run for ever
SECONDS_TO_STOP_WRITING = 20.0  # schedulers send SIGKILL 30 seconds after SIGTERM


class Cores:
    """As many threads compute at a time as the job has cores, however many there are: ``with cores: ...``.

    Threads of the network and of the writers share them. No thread holds one while it waits for a disk or for another
    thread.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = threading.Semaphore(number)

    def __enter__(self) -> None:
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()


class _End:
    """Nothing more comes; with what ended it, if that is an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def read_ahead(items: Iterator[Item], room: int) -> Iterator[Iterator[Item]]:
    """The items, of which up to ``room`` wait and one more is in the making, in a thread that ends with the block.

    What the iterator raises is raised here, at its place, with its own traceback.
    """
    made: queue.Queue[Item | _End] = queue.Queue(room)
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, made, stop), name="reads ahead", daemon=True)
    thread.start()
    try:
        yield _taken(made, thread)
    finally:
        stop.set()
        thread.join(SECONDS_TO_STOP)


def _taken(made: "queue.Queue[Item | _End]", thread: threading.Thread) -> Iterator[Item]:
    while not isinstance(found := _next(made, thread), _End):
        yield found
    if found.error:
        raise found.error


def _fill(items: Iterator[Item], made: "queue.Queue[Item | _End]", stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(item, made, stop):
                return
        _put(_End(), made, stop)
    except BaseException as error:
        _put(_End(error), made, stop)


def _put(item: Item | _End, made: "queue.Queue[Item | _End]", stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            made.put(item, timeout=SECONDS_TO_LOOK)
        except queue.Full:
            continue
        return True
    return False


def _next(made: "queue.Queue[Item | _End]", thread: threading.Thread) -> Item | _End:
    while True:
        try:
            return made.get(timeout=SECONDS_TO_LOOK)
        except queue.Empty:
            if not thread.is_alive() and made.empty():
                raise RuntimeError("the thread that reads ahead ended without a word") from None


def write_behind(
    items: Iterator[Item],
    work: Callable[[Item], Result],
    keep: Callable[[Item, Result], None],
    name: Callable[[Item], str],
    threads: int,
    room: int,
) -> Generator[Item]:
    """Applies ``work`` to items in ``threads`` threads, and ``keep`` to each item and result in this one, in order.

    Yields items that were kept. At most ``room`` are here at a time, before another is taken. ``name`` is what messages
    call an item. If the items or whoever takes them end this by an error or a signal, what was handed in is finished
    and kept all the same.

    Raises:
        InputError: an item took more than half an hour; and whatever ``work`` raises, with the item's name added.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    todo: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
    for _ in range(threads):
        threading.Thread(target=_serve, args=(todo, work), name="writes", daemon=True).start()

    def kept(most: int) -> Iterator[Item]:
        """Keep, in order, what is done, and wait until no more than ``most`` are left."""
        while waiting and (len(waiting) > most or waiting[0][1].done()):
            item, future = waiting[0]
            result = _result(future, name(item))
            waiting.popleft()
            keep(item, result)
            yield item

    try:
        for item in items:
            yield from kept(room - 1)
            task = (item, Future[Result]())
            waiting.append(task)
            todo.put(task)
        yield from kept(0)
    finally:
        wait([future for _, future in waiting], SECONDS_TO_STOP_WRITING)
        for item, future in waiting:
            future.cancel()  # unless a thread has it
            with suppress(Exception):  # the error that ended this is the one to tell of
                keep(item, future.result(timeout=0))
        for _ in range(threads):
            todo.put(None)


def _serve(todo: "SimpleQueue[tuple[Item, Future[Result]] | None]", work: Callable[[Item], Result]) -> None:
    """One thread's work, until there is no more."""
    while (task := todo.get()) is not None:
        item, future = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(item))
        except BaseException as error:
            future.set_exception(error)


def _result(future: "Future[Result]", name: str) -> Result:
    waited = 0.0
    while waited < SECONDS_TO_WRITE:
        try:
            if wait([future], SECONDS_TO_WARN).done:
                return future.result()
        except Exception as error:
            error.add_note(f"while the masks of {plain(name)} were made and written")
            raise
        waited += SECONDS_TO_WARN
        logger.warning("the masks of %s are not written after %.0f s", plain(name), waited)
    raise InputError(
        f"The masks of {plain(name)} were not written within {SECONDS_TO_WRITE / 60:.0f} minutes; the "
        "disk hangs. Run the same command again when it answers: masks that are finished are kept."
    )
