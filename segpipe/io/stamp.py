"""Whether a file changed, without reading it."""

import os
from pathlib import Path

MISSING = "missing"


def file_stamp(path: Path | str) -> str:
    """Size and modification time: what tells a changed file without reading it."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every file of an archive, and a Path costs more than that
    except OSError:
        return MISSING
    return f"{status.st_size}-{status.st_mtime_ns}"
