"""Locks between processes of one machine, which the kernel releases when their holder dies, whatever kills it."""

import fcntl
import os
from pathlib import Path


class Lock:
    """An advisory lock (flock) on a file, held alone or shared with others; the file may be removed by its holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, *, shared: bool = False) -> bool:
        """Try to take it, without waiting; whether that worked. If not, a lock that was shared before is gone, too."""
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
            if self._is_still_there(descriptor):
                return True
            self.release()  # its holder removed the file between our two steps: a lock that nobody else sees

    def release(self) -> None:
        """Give it back; twice is no error."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def note(self, text: str) -> None:
        """Leave a line in the file for those who wait; only while it is held alone."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def read_note(self) -> str:
        """What the last holder left."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def _open(self) -> int:
        if self._descriptor is None:
            # Not inherited by programs that are started; shared with forked children, which may use what it guards.
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        return self._descriptor

    def _is_still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except FileNotFoundError:
            return False
