"""The shard store: decoded, fitted pictures of a shard in three plain files.

``images.npy`` (n, size, size) uint8 or uint16; ``masks.npy`` (n, size, size), bit i = class i, so classes may overlap;
``table.parquet``, one row per image with every decision. Quarantined images keep their place with zeros, so that row i
of the table is picture i.

pandas and pyarrow are imported where a table is read or written: a process that only reads images needs neither.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from segpipe.errors import InputError
from segpipe.files.atomic import atomic_path
from segpipe.masks.reference import mask_dtype
from segpipe.preprocess.quality import MEASURES, share_column
from segpipe.samples.sample import Sample
from segpipe.samples.shards import carried_column

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FILES = ("images.npy", "masks.npy", "table.parquet")


@dataclass(frozen=True)
class Reading:
    """What became of one image: its row, and its pictures unless it is quarantined or has no mask."""

    row: dict[str, Any]
    image: np.ndarray | None = None  # (size, size), of preprocess.dtype
    mask: np.ndarray | None = None  # (size, size), bit i = class i


def pack_bits(channels: np.ndarray) -> np.ndarray:
    """(classes, rows, columns) of 0/1 to one integer per pixel, bit i = class i."""
    dtype = mask_dtype(len(channels))
    bits = np.zeros(channels.shape[1:], dtype)
    for index, channel in enumerate(channels):
        bits |= channel.astype(dtype) << dtype.type(index)
    return bits


def unpack_bits(bits: np.ndarray, classes: int) -> np.ndarray:
    """The reverse of :func:`pack_bits`, uint8 (classes, rows, columns); also of batches (n, rows, columns)."""
    axis = 1 if bits.ndim == 3 else 0
    shifts = [(bits >> bits.dtype.type(index)) & bits.dtype.type(1) for index in range(classes)]
    return np.stack(shifts, axis=axis).astype(np.uint8)


class StackWriter:
    """Appends arrays of one shape to an .npy file: memory stays that of one array, however many come."""

    def __init__(self, file: IO[bytes], count: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._file, self._shape, self._dtype = file, shape, np.dtype(dtype)
        header = np.lib.format.header_data_from_array_1_0(np.empty(0, self._dtype))
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *shape)})

    def append(self, array: np.ndarray) -> None:
        """Write the next array."""
        if array.shape != self._shape or array.dtype != self._dtype:
            raise ValueError(f"{array.dtype}{array.shape} in a stack of {self._dtype}{self._shape}")
        self._file.write(np.ascontiguousarray(array).data)


@contextmanager
def stack_writer(path: Path, count: int, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[StackWriter]:
    """A :class:`StackWriter` whose file appears under its name only when it is whole."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield StackWriter(file, count, shape, dtype)


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """A Parquet table, with checksums; the same rows give the same bytes."""
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, write_page_checksum=True)


@dataclass(frozen=True)
class Store:
    """An opened shard; the stacks are memory maps and cost memory only where they are read."""

    images: np.ndarray
    masks: np.ndarray
    table: "pd.DataFrame"


def picture_hashes(image: bytes | memoryview, mask: bytes | memoryview | None) -> tuple[str, str]:
    """The columns ``picture``, the same for copies in any format, and ``content``: of the picture and its mask, if any.

    ``image`` and ``mask`` are what the stacks hold of an image.
    """
    digest = hashlib.sha256(image)
    picture = digest.hexdigest()
    if mask is not None:
        digest.update(mask)
    return picture, digest.hexdigest()


def open_stacks(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Memory maps of a shard's pictures and masks.

    Raises:
        OSError, ValueError: a file is missing or truncated.
    """
    # allow_pickle=False is numpy's default; said here because these files may come from elsewhere.
    images, masks = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in FILES[:2])
    return images, masks


def open_store(folder: Path) -> Store:
    """Open a shard for reading.

    Raises:
        InputError: a file is missing, truncated, or does not belong to the others.
    """
    import pandas as pd

    try:
        images, masks = open_stacks(folder)
        table = pd.read_parquet(folder / FILES[2])
    except (OSError, ValueError) as error:
        raise InputError(f"The shard {folder} cannot be read ({error}). Delete the folder and run again.") from None
    if not len(images) == len(masks) == len(table):
        raise InputError(
            f"The shard {folder} has {len(images)} images, {len(masks)} masks and {len(table)} rows, "
            "which do not belong together. Delete the folder and run again."
        )
    return Store(images, masks, table)


# What is recorded of a readable image, in the table's order, and its type. Types are fixed and not guessed from the
# values: a shard without a single spacing has the column of the others, and a row that goes from one shard's table to
# another's comes out the same.
TYPES = {
    **dict.fromkeys(("notes", "sha256", "mask_sha256"), "string"),
    "file_bytes": "int64",
    **dict.fromkeys(("cache_key", "salt_key", "picture", "content"), "string"),
    **dict.fromkeys(("format", "modality", "photometric_interpretation", "transfer_syntax"), "string"),
    **dict.fromkeys(("bits_stored", "frame", "decoded_at"), "int64"),
    **dict.fromkeys(("modality_lut", "voi"), "string"),
    **{"inverted": "bool", "invert_source": "string"},
    **dict.fromkeys(("rows", "columns"), "int64"),
    **dict.fromkeys(("burned_in_annotation", "recognizable_visual_features"), "string"),
    **dict.fromkeys(("spacing_row_mm", "spacing_column_mm"), "double"),
    **dict.fromkeys(("spacing_source", "intensity_method"), "string"),
    **dict.fromkeys(("intensity_low", "intensity_high"), "double"),
    "fit": "string",
    **dict.fromkeys(("scale_row", "scale_column"), "double"),
    **dict.fromkeys(("fitted_rows", "fitted_columns", "pad_top", "pad_left", "size"), "int64"),
    **dict.fromkeys(MEASURES, "double") | {"grey_levels": "int64"},
    **{"perceptual_hash": "string", "thumbnail": "binary"},
}
FACTS = tuple(TYPES)


def empty_row(sample: Sample) -> dict[str, Any]:
    """The columns every row has, in order, with what is known before the file is opened."""
    return {
        "image_id": sample.image_id,
        "image": sample.image,
        "patient": sample.patient,
        "patient_source": "sheet or pattern" if sample.patient else "unknown",
        "site": sample.site,
        "fold_wanted": sample.fold,
        "status": "",
        "reason": "",
        **dict.fromkeys(FACTS),
        **{carried_column(name): value for name, value in sample.carried.items()},
    }


def import_tables() -> None:
    """Import what :func:`write_rows` needs, which takes half a second; to be called while others work."""
    import pandas  # noqa: F401 (pyarrow asks for it when it makes an array)
    import pyarrow.parquet  # noqa: F401


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], classes: Iterable[str]) -> None:
    """The rows as a Parquet table; the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = TYPES | {share_column(name): "double" for name in classes}
    names = dict.fromkeys(name for row in rows for name in row)
    schema = pa.schema([(name, pa.type_for_alias(types.get(name, "string"))) for name in names])
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), temporary, write_page_checksum=True)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """A table that :func:`write_rows` wrote, or some of its columns; ``to_pylist`` gives the rows back.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, is not what was written, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = set(columns or ()) - set(file.schema_arrow.names)
        if missing:
            raise pa.ArrowInvalid(f"has no column {sorted(missing)[0]}")
        return file.read(columns, use_threads=False)
