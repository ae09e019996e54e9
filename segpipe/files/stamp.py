"""Whether a file changed: by its size and time, or by the hash of its content."""

import hashlib
import os
from pathlib import Path

# Whether a file changed, without reading it.

MISSING = "missing"


def file_stamp(path: Path | str) -> str:
    """Size and modification time: what tells a changed file without reading it."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every file of an archive, and a Path costs more than that
    except OSError:
        return MISSING
    return f"{status.st_size}-{status.st_mtime_ns}"


# The hash of a whole file.


def hash_file(path: Path) -> str:
    """SHA-256 of a file, which is read in pieces; other threads run meanwhile. OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
