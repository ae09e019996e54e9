"""Is there room? Asked before a stage starts, so that it does not run for hours into a full disk."""

import os
import shutil
from pathlib import Path

from segpipe.errors import DiskFullError
from segpipe.log import logger

SPARE = 64 * 2**20  # tables, logs and journals


def check_space(folder: Path, needed: int, what: str) -> None:
    """Log how many bytes ``what`` is expected to take below ``folder``, which need not exist yet.

    Quotas are not seen here; who runs into one is told when it happens (:mod:`segpipe.files.atomic`).

    Raises:
        DiskFullError: it cannot fit.
    """
    free = shutil.disk_usage(existing_part(folder)).free
    logger.info("%s: about %s, %s are free", what, in_words(needed), in_words(free))
    if needed + SPARE > free:
        raise DiskFullError(
            f"{folder}: {what} need about {in_words(needed)} and some room for tables, and {in_words(free)} are free "
            "there. Nothing was written. Free some space, or name a folder on a larger disk (results, or "
            "--output), and run again."
        )


def existing_part(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    path = Path(os.path.abspath(folder))  # noqa: PTH100 - a link may lead to another disk, so it stays
    return next(place for place in (path, *path.parents) if place.exists())


def in_words(size: int) -> str:
    """Bytes for people, as 1.5 GB."""
    number = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
