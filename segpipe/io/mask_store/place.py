"""Where a store of masks lies."""

from dataclasses import dataclass
from pathlib import Path

from segpipe.io.mask_store.folder import Folder
from segpipe.io.mask_store.journal import NAME
from segpipe.io.mask_store.layout import Kind
from segpipe.io.mask_store.table import Table
from segpipe.io.mask_store.tar import Archive

Finished = Folder | Archive | Table


@dataclass(frozen=True)
class Place:
    """``folder`` has the journal, with ``files`` the masks, and while others are made the work file.

    ``stem`` is the path without ending of a finished archive or table.
    """

    folder: Path
    stem: Path

    @classmethod
    def of_shard(cls, folder: Path) -> "Place":
        """A shard's: ``masks/0000/`` for the folder, ``masks/0000.tar`` or ``masks/0000.parquet``."""
        return cls(folder, folder)

    @classmethod
    def of_output(cls, folder: Path) -> "Place":
        """That of `segpipe predict --output`, all in one folder: ``masks.tar`` or ``masks.parquet``."""
        return cls(folder, folder / "masks")

    @property
    def work(self) -> Path:
        """New masks of an archive or table that is not finished."""
        return self.folder / "work.tar"

    def finished(self, kind: Kind) -> Path:
        """What readers open: the folder, or a file."""
        return {"files": self.folder, "archive": self._ending(".tar"), "rle": self._ending(".parquet")}[kind]

    def open(self, kind: Kind) -> Finished:
        """The finished masks by name.

        Raises:
            OSError, ValueError: there are none, or none that can be read.
        """
        path = self.finished(kind)
        return Folder(path) if kind == "files" else Archive(path) if kind == "archive" else Table(path)

    def files(self) -> list[Path]:
        """All files that lie here, finished or not, sorted: what a shard's masks consist of."""
        packs = [path for path in (self.finished("archive"), self.finished("rle"), self.work) if path.is_file()]
        journal = [path for path in (self.folder / NAME,) if path.is_file()]
        return sorted({*packs, *journal, *(self.folder / name for name in Folder(self.folder).names())})

    def _ending(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)
