"""A store of masks: a folder with ``journal.csv``, and with a PNG file per mask or one ``masks.parquet``.

It is filled by the stage that predicts, which keeps what is still right, and read by those that follow. A finished
``masks.parquet`` is never changed: new masks go to a small Parquet file per image in ``masks.unfinished/``, and
:meth:`MaskStore.finish` merges both into a new one. Whatever was killed and resumed, the result has the same bytes.
"""

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from segpipe.config import Classes
from segpipe.errors import InputError
from segpipe.files.atomic import remove_leftovers, write_bytes
from segpipe.masks.encode import Kind, Layout, decode_probability, holds_runs
from segpipe.masks.journal import Entry, Journal
from segpipe.masks.table import SCHEMA, Table, write_table

TABLE = "masks.parquet"
UNFINISHED = "masks.unfinished"
PATTERNS = ("*.png", "*.npy")


class Folder:
    """The entries that are files of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """A file's bytes; KeyError where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(name) from None

    def close(self) -> None:
        """Nothing is open."""


def open_masks(folder: Path, kind: Kind) -> Folder | Table:
    """The finished entries in a store's folder.

    Raises:
        OSError, ValueError: there is no table, or it is damaged.
    """
    return Folder(folder) if kind == "files" else Table(folder / TABLE)


class MaskStore:
    """Masks of one shard, or of one output folder of `segpipe predict`.

    :meth:`save` may be called by several threads; all else by one. Masks of the other kind, from a run with other
    settings, are not kept: they are deleted as soon as the image has new ones, or is no longer among the images.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        remove_leftovers(folder)
        self.folder, self.layout, self.journal = folder, layout, Journal(folder)
        self._table: Table | None = None
        self._open_table()

    def keeps(self, image_id: str, key: str) -> bool:
        """Whether the masks with this cache key are there, their bytes as recorded.

        Probabilities that are there and no longer wanted go.
        """
        entry, names = self.journal.get(image_id), self.layout.names(image_id)
        if entry is None or entry.key != key or self._read(image_id, names) is None:
            return False
        if list(entry.hashes) != names:
            self.commit(image_id, replace(entry, hashes={name: entry.hashes[name] for name in names}))
        return True

    def take_over(self, wanted: Mapping[str, str]) -> list[str]:
        """Copy masks that another image has with the same cache key, such as those of a file that was renamed.

        ``wanted`` are images and their keys; returns those that have masks now.
        """
        by_key = {self.journal[other].key: other for other in self.journal.image_ids()}
        pairs = ((image_id, by_key.get(key)) for image_id, key in wanted.items())
        return [image_id for image_id, other in pairs if other and self._copy(other, image_id)]

    def save(self, image_id: str, contents: Mapping[str, bytes]) -> None:
        """Write an image's entries; they count once :meth:`commit` has recorded them."""
        if self.layout.kind == "rle":
            write_table(self._unfinished(image_id), [(image_id, contents)])
            return
        for name, content in contents.items():
            write_bytes(self.folder / name, content)

    def commit(self, image_id: str, entry: Entry) -> None:
        """Record an image whose entries are saved; files of earlier ones that it no longer has are deleted."""
        self._remove_files(image_id, {} if holds_runs(entry.hashes) else entry.hashes)
        self.journal.add(image_id, entry)

    def discard(self, image_id: str) -> None:
        """Delete an image's masks, which are no longer right; files that are not as the journal says stay."""
        if image_id in self.journal:
            self._remove_files(image_id, {})
            self.journal.drop(image_id)
            self.journal.rewrite()

    def keep_only(self, image_ids: Collection[str]) -> list[str]:
        """Forget all other images, and delete files of the folder that are of none; returns the names of these."""
        for image_id in set(self.journal.image_ids()) - set(image_ids):
            self.journal.drop(image_id)
        wanted = {name for image_id in self.journal.image_ids() for name in self.journal[image_id].hashes}
        found = {path.name for pattern in PATTERNS for path in self.folder.glob(pattern)}
        others = sorted(found - wanted)
        for name in others:
            (self.folder / name).unlink()
        return others

    def finish(self) -> None:
        """Bring all masks to where readers look for them, and leave one line per image in the journal."""
        packed = [image_id for image_id in self.journal.image_ids() if holds_runs(self.journal[image_id].hashes)]
        if self.layout.kind == "rle":
            self._merge(packed)
        elif not packed:
            self._remove_table()
        self.journal.rewrite()

    def close(self) -> None:
        """Give open files back."""
        if self._table:
            self._table.close()

    def _open_table(self) -> None:
        """Open a finished table; one that cannot be read counts as none."""
        self.close()
        self._table = None
        if self.layout.kind == "rle":
            with suppress(OSError, ValueError):
                self._table = Table(self.folder / TABLE)

    def _unfinished(self, image_id: str) -> Path:
        return self.folder / UNFINISHED / f"{image_id}.parquet"

    def _read(self, image_id: str, names: Iterable[str]) -> dict[str, bytes] | None:
        """The bytes of an image's entries; None where one is nowhere, or not as the journal says."""
        recorded = self.journal[image_id].hashes
        if not set(names) <= set(recorded):
            return None
        hashes = {name: recorded[name] for name in names}
        if self.layout.kind == "files":
            return _with_hashes(Folder(self.folder), hashes)
        with suppress(OSError, ValueError), closing(Table(self._unfinished(image_id))) as table:
            found = _with_hashes(table, hashes)
            if found is not None:
                return found
        return _with_hashes(self._table, hashes) if self._table else None

    def _copy(self, other: str, image_id: str) -> bool:
        entry, names = self.journal[other], self.layout.names(other)
        found = self._read(other, names)
        if found is None:
            return False
        contents = {image_id + name[len(other) :]: content for name, content in found.items()}
        self.save(image_id, contents)
        self.commit(image_id, Entry.of(entry.key, contents, entry.facts))
        return True

    def _merge(self, image_ids: Sequence[str]) -> None:
        """Write the table again, of what it had and of what is new, unless it is as it should be."""
        names = {name for image_id in image_ids for name in self.journal[image_id].hashes}
        if (self.folder / UNFINISHED).exists() or self._table is None or self._table.names() != names:
            write_table(self.folder / TABLE, self._packed(image_ids))
            self._open_table()
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def _packed(self, image_ids: Sequence[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
        for image_id in image_ids:
            contents = self._read(image_id, self.journal[image_id].hashes)
            if contents is None:  # of an earlier call, and damaged since
                self.journal.drop(image_id)
            else:
                yield image_id, contents

    def _remove_table(self) -> None:
        """Delete a table that an earlier run left, but not another file of that name."""
        with suppress(OSError, ValueError):
            if pq.read_schema(self.folder / TABLE).equals(SCHEMA):
                (self.folder / TABLE).unlink()
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def _remove_files(self, image_id: str, kept: Collection[str]) -> None:
        """Delete an image's files but those in ``kept``; one whose bytes are not the recorded ones is not ours."""
        earlier = self.journal.get(image_id)
        if earlier is None or holds_runs(earlier.hashes):
            return
        for name, wanted in earlier.hashes.items():
            if name not in kept and _with_hashes(Folder(self.folder), {name: wanted}):
                (self.folder / name).unlink()


def _with_hashes(source: Folder | Table, hashes: Mapping[str, str]) -> dict[str, bytes] | None:
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


class MaskReader:
    """Finished masks and probabilities by image; a context manager.

    Raises:
        InputError: there is no such store; or, from its methods, an image is missing or damaged.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._layout = folder, layout
        try:
            self._found = open_masks(folder, layout.kind)
        except (OSError, ValueError):
            raise InputError(self._complaint(str(folder / TABLE))) from None

    @classmethod
    def of_shard(cls, folder: Path, predictions: pd.DataFrame, classes: Classes) -> "MaskReader":
        """That of a shard, laid out as its table of predictions says; without a row it may be any."""
        first: Any = predictions.iloc[0] if len(predictions) else {"masks": "files", "form": "per_class"}
        return cls(folder, Layout(classes, first["form"], first["masks"], first.get("probabilities", "none")))

    def masks(self, image_id: str) -> np.ndarray:
        """The masks of an image, (classes, rows, columns) bool at the original size."""
        names = self._layout.mask_names(image_id)
        try:
            return self._layout.decode_masks([self._found.read(name) for name in names])
        except (KeyError, OSError, ValueError):
            raise InputError(self._complaint(f"{names[0]} of {self._folder}")) from None

    def probabilities(self, image_id: str) -> np.ndarray:
        """The probabilities of an image, float32 (classes, size, size) in the network's square.

        :func:`segpipe.preprocess.geometry.at_original_size` brings them to the image's size.
        """
        names = self._layout.probability_names(image_id)
        if not names:
            raise InputError(
                f"{self._folder} has no probabilities of {image_id}. Set predict.probabilities to uint8 or float16 and "
                "run again; all images are predicted once more."
            )
        try:
            return np.stack([decode_probability(name, self._found.read(name)) for name in names])
        except (KeyError, OSError, ValueError):
            raise InputError(self._complaint(f"{names[0]} of {self._folder}")) from None

    def close(self) -> None:
        """Give open files back."""
        self._found.close()

    def __enter__(self) -> "MaskReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _complaint(self, what: str) -> str:
        index = self._folder.parent.parent / "predictions" / f"{self._folder.name}.parquet"
        return (
            f"The predicted mask {what} is missing or damaged. Delete {index} and run again; masks that are right are "
            "kept."
        )
