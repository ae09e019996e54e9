"""How much room a run takes, and how much is left."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 20_000  # without being asked for more: on a file system of a cluster, each file costs a question


@dataclass(frozen=True)
class DiskUse:
    """Bytes of each folder of the results (``""``: the files beside them); ``whole`` unless it was cut short."""

    folders: dict[str, int]
    whole: bool
    free: int


def disk_use(results: Path, most_files: int | None = MOST_FILES) -> DiskUse:
    """Sizes of what lies below the results; after ``most_files`` it stops."""
    sizes, seen = dict[str, int](), 0
    for place, _, names in os.walk(results):
        folder = Path(place).relative_to(results).parts
        key = folder[0] if folder else ""
        for name in names:
            if most_files is not None and seen >= most_files:
                return DiskUse(sizes, False, shutil.disk_usage(results).free)
            seen += 1
            sizes[key] = sizes.get(key, 0) + _size(f"{place}/{name}")
    return DiskUse(sizes, True, shutil.disk_usage(results).free)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # a temporary file that is gone by now
        return 0
