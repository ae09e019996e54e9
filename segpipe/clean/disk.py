"""Sizes of files and folders, and their removal; links are neither measured nor followed."""

import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path


def size(path: Path) -> int:
    """Bytes of all files below ``path``."""
    return sum(status.st_size for status in _files(path))


def freed(paths: Iterable[Path]) -> int:
    """Bytes that the disk has more without them: a file that has another name elsewhere stays."""
    statuses, links = dict[tuple[int, int], os.stat_result](), Counter[tuple[int, int]]()
    for path in paths:
        for status in _files(path):
            key = status.st_dev, status.st_ino
            statuses[key] = status
            links[key] += 1
    return sum(status.st_size for key, status in statuses.items() if links[key] >= status.st_nlink)


def remove(path: Path) -> None:
    """Delete a file, a folder with all it holds, or a link but not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def readable(number: int) -> str:
    """For people.

    >>> readable(0), readable(1_500_000)
    ('0.0 MB', '1.5 MB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _files(path: Path) -> Iterator[os.stat_result]:
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        yield status
    elif stat.S_ISDIR(status.st_mode):
        for folder, _, names in os.walk(path):
            for name in names:
                each = (Path(folder) / name).lstat()
                if stat.S_ISREG(each.st_mode):
                    yield each
