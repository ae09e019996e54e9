"""Logging and progress: one line a fact, into the rule's log file and to the terminal."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

logger = logging.getLogger("segpipe")

SECONDS_BETWEEN_LINES = 30.0


def set_up_logging(log_file: Path | None) -> None:
    """Everything into ``log_file``, info and worse to standard error."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_TerminalHandler()]
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(log_file, mode="w", encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(to_file)


def track(items: Iterable[Item], total: int, label: str, unit: str = "image") -> Iterator[Item]:
    """Yield the items behind a progress bar, or a line every half minute where there is no terminal."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, unit=unit, leave=False, dynamic_ncols=True)
        return
    started = said = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            left = (said - started) / number * (total - number)
            logger.info("%s: %d of %d %ss, about %.0f s left", label, number, total, unit, left)


def plain(name: str) -> str:
    """A file name for a log: line ends and other control characters, which could forge lines, are escaped."""
    return name if name.isprintable() else repr(name)


class _TerminalHandler(logging.Handler):
    """Writes lines above a progress bar instead of through it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("segpipe: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if sys.stderr.isatty() and "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


class TrainBar:
    """The bar of a training run: steps done, loss, validation MIoU, images per second, time left."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._facts = bar, dict[str, str]()

    def step(self, epoch: int, loss: float, images: int) -> None:
        """One batch done."""
        if self._bar is None:
            return
        self._facts |= {"epoch": str(epoch), "loss": f"{loss:.3f}"}
        rate = self._bar.format_dict["rate"]
        if rate:
            self._facts["images/s"] = f"{rate * images:.1f}"
        self._bar.set_postfix(self._facts, refresh=False)
        self._bar.update()

    def validated(self, miou: float) -> None:
        """One epoch done."""
        self._facts["val MIoU"] = f"{miou:.4f}"


@contextmanager
def train_bar(label: str, total: int, done: int) -> Iterator[TrainBar]:
    """A :class:`TrainBar`, silent where there is no terminal (the log has a line per epoch)."""
    if not sys.stderr.isatty():
        yield TrainBar(None)
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, desc=label, unit="batch", leave=False, dynamic_ncols=True) as bar:
        yield TrainBar(bar)
