"""A folder of this user's own in a place where everybody may write."""

import os
import stat
from pathlib import Path

from segpipe.errors import InputError


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
