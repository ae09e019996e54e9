"""Whether a file changed, without reading it."""

from pathlib import Path


def file_stamp(path: Path) -> str:
    """Size and modification time: what tells a changed file without reading it."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"
