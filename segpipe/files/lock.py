"""Locks between processes of one machine, and a private folder to hold them."""

import fcntl
import os
import stat
from pathlib import Path

from segpipe.errors import InputError

# Locks between processes of one machine, which the kernel releases when their holder dies, whatever kills it.


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


# A folder of this user's own in a place where everybody may write.


def private_folder(place: Path) -> Path:
    """``place/segpipe-<user id>``, made with mode 0700 where it is missing.

    Raises:
        InputError: something else has that name: a link, a file, or a folder that others own or may write to. Who
            controls the folder could point us at files that are not ours.
    """
    folder = place / f"segpipe-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}).") from None
    problem = _problem(found)
    if problem:
        raise InputError(f"{folder} {problem}, so it is not used. Remove it, or use another folder than {place}.")
    return folder


def _problem(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder"
    if found.st_uid != os.getuid():
        return "belongs to another user"
    if found.st_mode & 0o077:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}, which lets others in"
    return ""
