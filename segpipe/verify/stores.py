"""Whether the stored pictures are those that were read."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.preprocess.store import FILES, picture_hashes
from segpipe.verify.finding import STORE_ADVICE, Finding, UnreadableError
from segpipe.verify.run import Run, read_columns

COLUMNS = ("image_id", "status", "picture", "content")


def check_store(run: Run, shard: str) -> Iterator[list[Finding]]:
    """Hash every picture and its masks again; yields the findings of each image in turn.

    The stacks are read one picture at a time and not through a memory map, so memory stays that of a few.

    Raises:
        UnreadableError: a file is missing, or the three do not belong together.
    """
    folder = run.folder / "shards" / shard
    advice = STORE_ADVICE.format(folder=folder)
    table = read_columns(folder / FILES[2], COLUMNS, "store", advice)
    with ExitStack() as stack:
        images, masks = (stack.enter_context(_Stack(folder / name, len(table), advice)) for name in FILES[:2])

        def check(row: Any) -> list[Finding]:
            if row.status == "quarantined":
                return []
            mask = masks.read(row.Index) if row.status == "labelled" else None
            picture, content = picture_hashes(images.read(row.Index), mask)
            if (picture, content) == (row.picture, row.content):
                return []
            name, what = (FILES[0], "picture") if picture != row.picture else (FILES[1], "mask")
            text = f"the stored {what} of row {row.Index} has another hash"
            return [Finding("store", str(folder / name), text, advice, str(row.image_id))]

        yield from run.each(check, table.itertuples())


class _Stack:
    """The arrays of an .npy file by number, as bytes; several threads may read."""

    def __init__(self, path: Path, count: int, advice: str) -> None:
        try:
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UnreadableError(Finding("store", str(path), "is missing", advice)) from None
        except (OSError, ValueError) as error:
            text = f"cannot be read ({type(error).__name__}: not whole, or no .npy file)"
            raise UnreadableError(Finding("store", str(path), text, advice)) from None
        if len(stack) != count:
            text = f"holds {len(stack)} pictures, but table.parquet has {count} rows"
            raise UnreadableError(Finding("store", str(path), text, advice))
        self._size = int(np.prod(stack.shape[1:])) * stack.dtype.itemsize
        self._offset = stack.offset
        self._file = path.open("rb")

    def read(self, number: int) -> bytes:
        return os.pread(self._file.fileno(), self._size, self._offset + number * self._size)

    def __enter__(self) -> "_Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
