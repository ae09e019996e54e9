"""Masks as run lengths in one Parquet file: a row per image and class.

Columns: ``image_id``, ``class``, ``rows``, ``columns``, ``counts`` (:mod:`segpipe.masks.run_lengths`), and where
probabilities are kept ``probability_type`` (uint8 or float16, else empty) and ``probability`` (a PNG, or an .npy
file).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.files.atomic import atomic_path
from segpipe.masks.encode import ENDINGS, RUNS

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
    """The entries in a Parquet file; a row group is held at a time, so reading in order is quick.

    Raises:
        OSError, ValueError: there is no such file, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
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


def write_table(path: Path, images: Iterable[tuple[str, Mapping[str, bytes]]]) -> None:
    """Write the entries of all images atomically; the same entries give the same bytes."""
    rows: list[dict[str, Any]] = []
    held = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as file:
        for image_id, contents in images:
            for row in _rows(image_id, contents):
                rows.append(row)
                held += len(row["counts"]) + len(row["probability"] or b"")
                if len(rows) == GROUP_ROWS or held > GROUP_BYTES:
                    file.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows, held = [], 0
        if rows:
            file.write_table(pa.Table.from_pylist(rows, SCHEMA))


def _rows(image_id: str, contents: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for name, content in contents.items():
        if name.endswith(RUNS):
            rows, columns, counts = content.decode("ascii").split(" ")
            stem = name.removesuffix(RUNS)
            row = {"image_id": image_id, "class": stem[len(image_id) + 1 :], "rows": int(rows), "columns": int(columns)}
            yield {**row, "counts": counts, **_probability(stem, contents)}


def _probability(stem: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    for kind, ending in ENDINGS.items():
        if stem + ending in contents:
            return {"probability_type": kind, "probability": contents[stem + ending]}
    return {"probability_type": "", "probability": None}
