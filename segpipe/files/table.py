"""Tables as CSV and Parquet: the same bytes for the same table."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.files.atomic import atomic_path

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SCORES = ("miou_", "iou_", "dice_", "precision_", "recall_", "brier_", "ece_", "boundary_iou_", "nsd_")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV (UTF-8, LF), the same bytes for the same table.

    Scores have six decimals, other fractions up to nine significant digits, truth values are true and
    false, what is missing is blank. A text that a spreadsheet would run as a formula gets a leading
    apostrophe.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(csv_cells(table))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet: whole numbers, fractions, truth values and texts, nothing rounded.

    Missing values are null, texts are as they are, without the apostrophe that :func:`write_csv` adds. The same
    table gives the same bytes.
    """
    with atomic_path(path) as temporary:
        pq.write_table(arrow_table(table), temporary, write_page_checksum=True)


def arrow_table(table: pd.DataFrame) -> pa.Table:
    """What :func:`write_parquet` writes."""
    schema = pa.schema([(str(name), _stored(table[name])) for name in table.columns])
    return pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(None)


def csv_cells(table: pd.DataFrame) -> Iterator[Sequence[str]]:
    """The header, then each row as :func:`write_csv` writes it."""
    cells = [_written(table[name], is_score(str(name))) for name in table.columns]
    yield [_harmless(str(name)) for name in table.columns]
    yield from zip(*cells, strict=True)


def is_score(name: str) -> bool:
    """Whether a column of numbers holds scores, which are written with six decimals."""
    return name.startswith(_SCORES) or name == "miou"


def as_text(value: Any) -> str:
    """Text of any value; a number that became a fraction beside blanks (fold 1.0) is whole again."""
    if pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _written(column: pd.Series, score: bool) -> Iterable[str]:
    if pd.api.types.is_bool_dtype(column.dtype):
        return ("" if pd.isna(value) else str(bool(value)).lower() for value in column)
    if pd.api.types.is_integer_dtype(column.dtype):
        return ("" if pd.isna(value) else str(int(value)) for value in column)
    if pd.api.types.is_float_dtype(column.dtype):
        return ("" if pd.isna(value) else f"{value:.6f}" if score else f"{value:.9g}" for value in column)
    return (_harmless(as_text(value)) for value in column)


def _stored(column: pd.Series) -> pa.DataType:
    if pd.api.types.is_bool_dtype(column.dtype):
        return pa.bool_()
    if pd.api.types.is_integer_dtype(column.dtype):
        return pa.int64()
    return pa.float64() if pd.api.types.is_float_dtype(column.dtype) else pa.string()


def _harmless(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
