"""A folder with a file per entry."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from segpipe.io.atomic import write_bytes

PATTERNS = ("*.png", "*.npy")


class Folder:
    """Files of a folder by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """A file's bytes; KeyError where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(name) from None

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files, each atomically."""
        for name, content in contents.items():
            write_bytes(self.path / name, content)

    def names(self) -> Iterator[str]:
        """Files that look like entries."""
        return (path.name for pattern in PATTERNS for path in self.path.glob(pattern))

    def remove(self, name: str) -> None:
        """Delete a file."""
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""
