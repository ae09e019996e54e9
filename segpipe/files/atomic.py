"""Writing files whole or not at all; JSON files that segpipe wrote are read back with a clear error."""

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segpipe.errors import DiskFullError, InputError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SPACE_TEXTS = tuple(os.strerror(number) for number in NO_SPACE)

_DAY = 86_400.0  # seconds
_TEMPORARY = re.compile(r"\..*\.\d+\.[0-9a-f]{8}(\.[^.]*)?")  # as atomic_path names its files, and nobody else


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a temporary path beside ``final``, with its suffix; move it there when the block succeeds.

    Whatever happens, ``final`` holds either what it held before or the complete new content, also
    after a crash of the machine. Folders are made. A full disk is a DiskFullError; any other error of
    the block passes through, and the temporary file is removed.

    >>> with atomic_path(Path("table.csv")) as temporary:   # doctest: +SKIP
    ...     table.to_csv(temporary)
    """
    final = Path(final)
    temporary = final.parent / f".{final.stem[:80]}.{os.getpid()}.{secrets.token_hex(4)}{final.suffix}"
    try:
        with explain_full_disk(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explain_full_disk(final: Path) -> Iterator[None]:
    """Whatever runs out of space in the block while it writes ``final`` is a DiskFullError."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            raise DiskFullError(_explain(final, error)) from error
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; younger than a day, one may still be written.

    ``folder`` may be anybody's (`segpipe predict --output .`): other hidden files are left alone.
    """
    for path in folder.glob(".*.*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            with suppress(FileNotFoundError):  # another job has just moved it to its place
                if time.time() - path.stat().st_mtime > _DAY:
                    path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with the line ends that it has."""
    write_bytes(path, text.encode())


def write_text_if_changed(path: Path, text: str) -> bool:
    """Write ``text`` unless ``path`` holds it already, which keeps its time of change; True if written."""
    return write_bytes_if_changed(path, text.encode())


def write_bytes_if_changed(path: Path, data: bytes) -> bool:
    """The same for bytes."""
    try:
        if Path(path).read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_bytes(path, data)
    return True


def _sync(path: Path) -> None:
    """Bring the content to the disk before the name: else a power cut could leave an empty file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_disk_full(error: Exception) -> bool:
    """Whether space, quota or file size ran out; some libraries keep only the text of the system's error."""
    number = getattr(error, "errno", None)
    return number in NO_SPACE if number is not None else any(text in str(error) for text in NO_SPACE_TEXTS)


def _explain(final: Path, error: Exception) -> str:
    existing = next((folder for folder in final.absolute().parents if folder.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    kind = getattr(error, "errno", None)
    why = os.strerror(kind) if kind else "no space left"
    return (
        f"{final}: cannot be written ({why}; {free} bytes are free there). What was there before is untouched. "
        "Free some space or quota, or set results to a larger disk, and run the same command again."
    )


# JSON files that segpipe writes: one text for one value, read back with a clear error.


def read_json(path: Path, missing: str, damaged: str) -> Any:
    """What the file holds.

    Raises:
        InputError: with the text ``missing`` where it cannot be read, and ``damaged`` where it is no JSON; in both,
            ``{path}`` and ``{reason}`` are filled in.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(missing.format(path=path, reason=error.strerror)) from None
    except ValueError as error:
        raise InputError(damaged.format(path=path, reason=error)) from None


def canonical_json(value: Any) -> str:
    """The one JSON text of a value, for files that are compared and hashed.

    Keys keep their order: that of ``classes`` is the order of the network's channels.
    """
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
