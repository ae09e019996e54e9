"""The columns of the store's table, and their types.

The types are fixed and not guessed from the values: a shard without a single spacing has the column of the others, and
a row that goes from one shard's table to another's comes out the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.io.atomic import atomic_path
from segpipe.preprocess.quality import FINGERPRINTS, MEASURES, share_column
from segpipe.samples.sample import Sample
from segpipe.samples.shards import carried_column

# What is recorded of a readable image, in the table's order.
FACTS = (
    *("notes", "sha256", "mask_sha256", "file_bytes", "recipe", "salt_key", "picture", "content"),
    *("format", "modality", "photometric_interpretation", "transfer_syntax"),
    *("bits_stored", "frame", "decoded_at", "modality_lut", "voi", "inverted", "invert_source", "rows", "columns"),
    *("burned_in_annotation", "recognizable_visual_features"),
    *("spacing_row_mm", "spacing_column_mm", "spacing_source", "intensity_method", "intensity_low"),
    *("intensity_high", "fit", "scale_row", "scale_column", "fitted_rows", "fitted_columns"),
    *("pad_top", "pad_left", "size"),
    *MEASURES,
    *FINGERPRINTS,
)
_INTEGERS = {"file_bytes", "bits_stored", "frame", "decoded_at", "rows", "columns", "fitted_rows", "fitted_columns",
             "pad_top", "pad_left", "size", "grey_levels"}  # fmt: skip
_FLOATS = {"spacing_row_mm", "spacing_column_mm", "intensity_low", "intensity_high", "scale_row", "scale_column",
           *MEASURES} - _INTEGERS  # fmt: skip


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


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], classes: Iterable[str]) -> None:
    """The rows as a Parquet table; the same rows give the same bytes."""
    shares = {share_column(name) for name in classes}
    names = dict.fromkeys(name for row in rows for name in row)
    schema = pa.schema([(name, pa.float64() if name in shares else _type(name)) for name in names])
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), temporary, write_page_checksum=True)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A table that :func:`write_rows` wrote, or some of its columns; ``to_pylist`` gives the rows back.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, is not what was written, or lacks a column.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = set(columns or ()) - set(file.schema_arrow.names)
        if missing:
            raise pa.ArrowInvalid(f"has no column {sorted(missing)[0]}")
        return file.read(columns, use_threads=False)


def _type(name: str) -> pa.DataType:
    if name in _INTEGERS:
        return pa.int64()
    if name in _FLOATS:
        return pa.float64()
    return {"inverted": pa.bool_(), "thumbnail": pa.binary()}.get(name, pa.string())
