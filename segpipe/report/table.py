"""report.csv, and the same as report.parquet: one row per image, whatever became of it."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Score
from segpipe.io.atomic import atomic_path
from segpipe.report.column import Column
from segpipe.report.columns import EVERYTHING, repeat_columns, report_columns
from segpipe.report.score_columns import is_score, score_columns_of
from segpipe.samples.shards import carried_column

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def build_report(
    images: pd.DataFrame,
    scores: pd.DataFrame,
    classes: Sequence[str],
    carried: Sequence[str],
    repeats: Sequence[int] = (),
    score: Score = EVERYTHING,
) -> pd.DataFrame:
    """The report's table: :func:`report_columns` in order, sorted by image_id, one row per row of ``images``.

    ``images`` has a row per image with image_id, status and whatever else is known, the columns of the
    sheet as ``carried:<name>``; ``scores`` has a row per scored image
    (:func:`segpipe.score.shard.score_shard`), and with several ``repeats`` the columns of
    :func:`segpipe.report.columns.repeat_columns`. What is in neither is blank: "" in text columns, missing in
    others. Raises ValueError for an image_id that is there twice, or scored without being an image.
    """
    facts, results = images.set_index("image_id"), scores.set_index("image_id")
    for name, index in (("images", facts.index), ("scores", results.index)):
        if not index.is_unique:
            raise ValueError(f"{name}: image_id {index[index.duplicated()][0]!r} is there twice")
    unknown = results.index.difference(facts.index)
    if len(unknown):
        raise ValueError(f"scores: image_id {unknown[0]!r} is not among the images")
    ids = pd.Index(sorted(facts.index), name="image_id", dtype="str")
    columns = report_columns(classes, carried, repeats, score)
    own = [column.name for column in columns[: len(columns) - len(carried)]]
    sources = [*own, *(carried_column(name) for name in carried)]
    measured = {column.name for column in (*score_columns_of(classes, score), *repeat_columns(repeats))}
    cells = {
        column.name: _cells(results if column.name in measured else facts, source, column, ids)
        for column, source in zip(columns, sources, strict=True)
    }
    return pd.DataFrame(cells).reset_index(drop=True)


def write_report(table: pd.DataFrame, path: Path) -> None:
    """Write the report's table as CSV (UTF-8, LF), the same bytes for the same table.

    Scores have six decimals, other fractions up to nine significant digits, truth values are true and
    false, what is missing is blank. A text that a spreadsheet would run as a formula gets a leading
    apostrophe.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(report_cells(table))


def write_typed(table: pd.DataFrame, path: Path) -> None:
    """Write the report's table as Parquet: whole numbers, fractions, truth values and texts, nothing rounded.

    Missing values are null, texts are as they are, without the apostrophe that :func:`write_report` adds. The same
    table gives the same bytes.
    """
    with atomic_path(path) as temporary:
        pq.write_table(typed(table), temporary, write_page_checksum=True)


def typed(table: pd.DataFrame) -> pa.Table:
    """What :func:`write_typed` writes."""
    schema = pa.schema([(str(name), _stored(table[name])) for name in table.columns])
    return pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(None)


def report_cells(table: pd.DataFrame) -> Iterator[Sequence[str]]:
    """The header, then each row as :func:`write_report` writes it."""
    cells = [_written(table[name], is_score(str(name))) for name in table.columns]
    yield [_harmless(str(name)) for name in table.columns]
    yield from zip(*cells, strict=True)


def _cells(table: pd.DataFrame, source: str, column: Column, ids: pd.Index) -> pd.Series:
    """One column for all images, in the dtype of its kind."""
    if column.name == "image_id":
        return ids.to_series()
    known = table[source] if source in table else pd.Series(index=table.index, dtype="object")
    match column.kind:
        case "text":
            return known.reindex(ids).map(_text).astype("str")
        case "boolean":
            return known.astype("boolean").reindex(ids)
        case "integer":
            return pd.to_numeric(known).astype("Int64").reindex(ids)
        case _:
            return pd.to_numeric(known).astype("float64").reindex(ids)


def _text(value: Any) -> str:
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
    return (_harmless(_text(value)) for value in column)


def _stored(column: pd.Series) -> pa.DataType:
    if pd.api.types.is_bool_dtype(column.dtype):
        return pa.bool_()
    if pd.api.types.is_integer_dtype(column.dtype):
        return pa.int64()
    return pa.float64() if pd.api.types.is_float_dtype(column.dtype) else pa.string()


def _harmless(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
