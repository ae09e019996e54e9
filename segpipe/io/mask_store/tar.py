"""Plain uncompressed tar files: one that only grows while masks are made, and one that is written once.

Members have no time and no owner, so the same members in the same order are the same bytes.
"""

import os
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path

from segpipe.io.atomic import atomic_path, explain_full_disk
from segpipe.io.mask_store.layout import Entries

_BLOCK = tarfile.BLOCKSIZE


class Archive:
    """A tar file's members by name, read in any order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index, self._end = _scan(path)
        self._file = os.open(path, os.O_RDONLY)

    def names(self) -> set[str]:
        """The members."""
        return set(self._index)

    def read(self, name: str) -> bytes:
        """A member's bytes; KeyError where there is none."""
        offset, size = self._index[name]
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


class WorkFile:
    """Members of a run that is not finished; of two with one name the later counts.

    What a kill left torn at its end is cut off. Several threads may append.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        self._index, self._end = _scan(path) if path.exists() else ({}, 0)
        self._file: int | None = None

    def names(self) -> set[str]:
        """The members."""
        return set(self._index)

    def read(self, name: str) -> bytes:
        """A member's bytes; KeyError where there is none."""
        offset, size = self._index[name]
        return os.pread(self._opened(), size, offset)

    def append(self, name: str, content: bytes) -> None:
        """Add a member; not synced to the disk, since a member counts only if its bytes are the recorded ones."""
        head = _header(name, len(content))
        block = memoryview(head + content + _padding(len(content)))
        with self._lock, explain_full_disk(self.path):
            file, written = self._opened(), 0
            while written < len(block):
                written += os.pwrite(file, block[written:], self._end + written)
            self._index[name] = (self._end + len(head), len(content))
            self._end += len(block)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Delete it."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._index, self._end = {}, 0

    def _opened(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._file, self._end)
        return self._file


def write_archive(path: Path, images: Iterable[tuple[str, Entries]]) -> None:
    """Write the entries of all images atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for _, entries in images:
            for name, content in entries.all.items():
                file.write(_header(name, len(content)) + content + _padding(len(content)))
        file.write(bytes(2 * _BLOCK))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE))


def _scan(path: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Each member's place and size, and where the last whole one ends."""
    index: dict[str, tuple[int, int]] = {}
    end, size = 0, path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                after = member.offset_data + member.size + len(_padding(member.size))
                if after > size:
                    break
                index[member.name], end = (member.offset_data, member.size), after
                archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
    except (tarfile.TarError, OSError):
        pass  # the torn end, or no tar at all
    return index, end


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
