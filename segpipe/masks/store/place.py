"""Where masks lie: a folder of PNG files, a Parquet file of run lengths, or a tar."""

import hashlib
import os
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.files.atomic import atomic_path, explain_full_disk, write_bytes
from segpipe.masks.store.journal import ENDINGS, NAME, RUNS, Entries, Entry, Kind

# A folder with a file per entry.

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


# One Parquet file of run lengths: a row per image and class.
#
# Columns: ``image_id``, ``class``, ``rows``, ``columns``, ``counts`` (:mod:`segpipe.masks.run_lengths`), and where
# probabilities are kept ``probability_type`` (uint8 or float16, else empty) and ``probability`` (a PNG, or an .npy
# file).

SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "class": pa.string(),
        "rows": pa.int32(),
        "columns": pa.int32(),
        "counts": pa.string(),
        "probability_type": pa.string(),
        "probability": pa.binary(),
    }
)
GROUP_ROWS, GROUP_BYTES = 256, 4 * 2**20  # a row group is what a reader holds


class Table:
    """The entries in a Parquet file; a row group is held at a time, so reading in order is quick."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = pq.ParquetFile(path)
        self._index: dict[str, tuple[int, int]] = {}  # group and row in it
        for group in range(self._file.num_row_groups):
            keys = self._file.read_row_group(group, columns=["image_id", "class", "probability_type"]).to_pylist()
            for row, key in enumerate(keys):
                stem = f"{key['image_id']}.{key['class']}"
                self._index[stem + RUNS] = (group, row)
                if key["probability_type"]:
                    self._index[stem + ENDINGS[key["probability_type"]]] = (group, row)
        self._held: tuple[int, Any] = (-1, None)

    def names(self) -> set[str]:
        """The entries."""
        return set(self._index)

    def read(self, name: str) -> bytes:
        """An entry's bytes; KeyError where there is none."""
        group, row = self._index[name]
        if self._held[0] != group:
            self._held = (group, self._file.read_row_group(group))
        found = self._held[1].slice(row, 1).to_pylist()[0]
        if name.endswith(RUNS):
            return f"{found['rows']} {found['columns']} {found['counts']}".encode("ascii")
        return bytes(found["probability"])

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def write_table(path: Path, images: Iterable[tuple[str, Entries]]) -> None:
    """Write the masks of all images, run lengths, atomically; the same entries give the same bytes."""
    rows: list[dict[str, Any]] = []
    held = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as file:
        for image_id, entries in images:
            for row in _rows(image_id, entries):
                rows.append(row)
                held += len(row["counts"]) + len(row["probability"] or b"")
                if len(rows) == GROUP_ROWS or held > GROUP_BYTES:
                    file.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows, held = [], 0
        if rows:
            file.write_table(pa.Table.from_pylist(rows, SCHEMA))


def _rows(image_id: str, entries: Entries) -> Iterator[dict[str, Any]]:
    for name, content in entries.masks.items():
        rows, columns, counts = content.decode("ascii").split(" ")
        stem = name.removesuffix(RUNS)
        row = {"image_id": image_id, "class": stem[len(image_id) + 1 :], "rows": int(rows), "columns": int(columns)}
        yield {**row, "counts": counts, **_probability(stem, entries.probabilities)}


def _probability(stem: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    for kind, ending in ENDINGS.items():
        if stem + ending in contents:
            return {"probability_type": kind, "probability": contents[stem + ending]}
    return {"probability_type": "", "probability": None}


# Plain uncompressed tar files: one that only grows while masks are made, and one that is written once.
#
# Members have no time and no owner, so the same members in the same order are the same bytes.

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


# Where a store of masks lies.

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


# Masks from wherever they lie: the work file of an interrupted run, or a finished store of any kind.


class Sources:
    """All that lies at one place. Bytes count only if they are the recorded ones."""

    def __init__(self, place: Place, kind: Kind) -> None:
        self.place, self.kind = place, kind
        self.folder, self.work = Folder(place.folder), WorkFile(place.work)
        self.finished: dict[Kind, Finished] = {}
        for each in sorted(get_args(Kind), key=lambda other: other != kind):  # the wanted kind first
            self.reopen(each)

    def reopen(self, kind: Kind) -> None:
        """Open a finished store that was written anew; one that cannot be read counts as none."""
        if kind in self.finished:
            self.finished.pop(kind).close()
        with suppress(OSError, ValueError):
            self.finished[kind] = self.place.open(kind)

    def read(self, entry: Entry) -> Entries | None:
        """The bytes of an entry; None where they are nowhere, or not as recorded."""
        for source in (self.work, *self.finished.values()):
            masks, probabilities = recorded(source, entry.masks), recorded(source, entry.probabilities)
            if masks is not None and probabilities is not None:
                return Entries(masks, probabilities)
        return None

    def remove_files(self, entry: Entry, kept: Mapping[str, str]) -> None:
        """Delete an entry's files but those in ``kept``; one with other bytes than recorded is somebody else's."""
        for name, wanted in entry.hashes.items():
            if name not in kept and recorded(self.folder, {name: wanted}) is not None:
                self.folder.remove(name)

    def remove_finished(self, kind: Kind) -> None:
        """Delete a finished archive or table."""
        if kind != "files" and kind in self.finished:
            self.finished.pop(kind).close()
            self.place.finished(kind).unlink()

    def close(self) -> None:
        """Give open files back."""
        for source in (self.work, *self.finished.values()):
            source.close()


def recorded(source: Finished | WorkFile, hashes: Mapping[str, str]) -> dict[str, bytes] | None:
    """The bytes with these hashes, by name; None unless all are there."""
    found: dict[str, bytes] = {}
    for name, wanted in hashes.items():
        try:
            content = source.read(name)
        except (KeyError, OSError, ValueError):
            return None
        if hashlib.sha256(content).hexdigest() != wanted:
            return None
        found[name] = content
    return found
