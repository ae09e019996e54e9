"""report.csv, and the same as report.parquet: one row per image, whatever became of it."""

from collections.abc import Sequence

import pandas as pd

from segpipe.config import Score
from segpipe.files.table import as_text
from segpipe.report.columns import EVERYTHING, Column, repeat_columns, report_columns, score_columns_of
from segpipe.samples.shards import carried_column


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
    (:func:`segpipe.score.stage.score_shard`), and with several ``repeats`` the columns of
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


def _cells(table: pd.DataFrame, source: str, column: Column, ids: pd.Index) -> pd.Series:
    """One column for all images, in the dtype of its kind."""
    if column.name == "image_id":
        return ids.to_series()
    known = table[source] if source in table else pd.Series(index=table.index, dtype="object")
    match column.kind:
        case "text":
            return known.reindex(ids).map(as_text).astype("str")
        case "boolean":
            return known.astype("boolean").reindex(ids)
        case "integer":
            return pd.to_numeric(known).astype("Int64").reindex(ids)
        case _:
            return pd.to_numeric(known).astype("float64").reindex(ids)
