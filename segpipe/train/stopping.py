"""Asked to stop: training ends after the step at hand, and saves what it has."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segpipe.errors import ExitCode, InterruptedRun

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopWish:
    """Whether someone asked for the end: a scheduler by SIGTERM, a person by Ctrl-C."""

    def __init__(self) -> None:
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0

    def note(self, number: int, _: Any) -> None:
        """A signal came. A second Ctrl-C does not wait for the step; a second SIGTERM comes from torchrun."""
        if self.signal == number == signal.SIGINT:
            raise self.end("stopped at once; the last checkpoint is kept")
        self.signal = number

    def end(self, message: str) -> InterruptedRun:
        """What ends the command, with the exit code of the signal that came (of SIGTERM, if another process got it)."""
        interrupted = self.signal == signal.SIGINT
        return InterruptedRun(message, ExitCode.INTERRUPTED if interrupted else ExitCode.SAVED)


@contextmanager
def listening() -> Iterator[StopWish]:
    """Note signals instead of acting on them; outside of the main thread, where none arrive, do nothing."""
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish.note) for number in SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
