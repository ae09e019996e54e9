"""Scores of groups of images: by fold, site, finding, size or any other column of the report."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.errors import ConfigError
from segpipe.score.intervals import FEWEST_DRAWS
from segpipe.score.summary import metric_columns, of_images, patient_numbers, pooled

ALL = "all"
MOST_GROUPS = 100
FEW = 10  # different numbers that are groups of their own, and not cut into bands
_COLUMNS = ["mean", "low", "high", "median", "q1", "q3", "pooled", "pooled_low", "pooled_high"]


def group_table(
    table: pd.DataFrame,
    classes: Sequence[str],
    score: Score,
    by: Sequence[str],
    bands: Mapping[str, Sequence[float]],
    seed: int,
) -> pd.DataFrame:
    """Rows of groups.csv: by, group, metric, images, patients, and what :mod:`segpipe.score.summary` gives.

    ``table`` is the report; only its scored rows count. The first rows are of all of them. A column that is blank
    throughout, or has one group, adds nothing; rows in which it is blank are in none of its groups.

    Raises:
        ConfigError: a column has more than 100 groups, or bands and cells that are no numbers.
    """
    scored = table[table["status"] == "scored"].reset_index(drop=True)
    metrics = metric_columns(classes, score)
    rows = list(_rows(scored, ALL, ALL, metrics, classes, seed))
    for name in by:
        for group, inside in groups_of(scored, name, bands).items():
            rows += _rows(scored[inside], name, group, metrics, classes, seed)
    found = pd.DataFrame(rows, columns=["by", "group", "metric", "images", "patients", *_COLUMNS])
    return found.astype(dict.fromkeys(_COLUMNS, "float64"))


def miou_of_groups(groups: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of MIoU of :func:`group_table`, without that of all images, for JSON."""
    rows = groups[(groups["metric"] == "miou") & (groups["by"] != ALL)]
    columns = ["by", "group", "images", "patients", "mean", "low", "high"]
    cells = rows[columns].astype("object").where(rows[columns].notna(), None)
    return [dict(zip(columns, row, strict=True)) for row in cells.itertuples(index=False)]


def groups_of(table: pd.DataFrame, by: str, bands: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    """The groups of a column in order, with which rows are in each, bool (rows,); ``a+b`` has pairs of groups.

    Nothing where there are fewer than two groups. Raises as :func:`group_table`.
    """
    found = {"": np.ones(len(table), bool)}
    for name in by.split("+"):
        of_name = _of_column(table, name, bands)
        pairs = ((old, new, found[old] & of_name[new]) for old in found for new in of_name)
        found = {f"{old}+{new}" if old else new: inside for old, new, inside in pairs if inside.any()}
    if len(found) > MOST_GROUPS:
        raise ConfigError(
            f"report.by: {by} has {len(found)} groups; scores of that many tell nothing (at most {MOST_GROUPS}). Name "
            "another column, or, for numbers, where its bands begin: report.bands."
        )
    return found if len(found) > 1 else {}


def _of_column(table: pd.DataFrame, name: str, bands: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    cells = table[name].astype("str").where(table[name].notna(), "").to_numpy(str)
    numbers = pd.to_numeric(pd.Series(cells).replace("", None), errors="coerce").to_numpy(np.float64)
    numeric = np.array_equal(np.isnan(numbers), cells == "")
    if name in bands and not numeric:
        wrong = cells[np.isnan(numbers) & (cells != "")][0]
        raise ConfigError(f"report.bands: column {name} holds {str(wrong)!r}, which is no number; remove its bands.")
    if numeric and (name in bands or len(np.unique(numbers[~np.isnan(numbers)])) > FEW):
        return _banded(numbers, bands.get(name))
    order = sorted(set(cells) - {""}, key=float if numeric else str)
    return {str(group): cells == group for group in order}


def _banded(numbers: np.ndarray, edges: Sequence[float] | None) -> dict[str, np.ndarray]:
    """Each band holds its lower edge and not its upper one."""
    cuts = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75])) if edges is None else np.asarray(edges)
    names = [f"{cut:.6g}" for cut in cuts]
    labels = [f"below {names[0]}", *(f"{low} to {high}" for low, high in pairwise(names)), f"{names[-1]} and more"]
    place = np.digitize(numbers, cuts)
    inside = [(place == index) & ~np.isnan(numbers) for index in range(len(labels))]
    return {label: rows for label, rows in zip(labels, inside, strict=True) if rows.any()}


def _rows(
    rows: pd.DataFrame, by: str, group: str, metrics: Sequence[str], classes: Sequence[str], seed: int
) -> Iterator[dict[str, Any]]:
    sums = pooled(rows, classes, seed, FEWEST_DRAWS)
    patients = len(np.unique(patient_numbers(rows)))
    for metric, found in of_images(rows, metrics, seed, FEWEST_DRAWS).items():
        of_pixels = sums.get(metric, dict.fromkeys(["pooled", "low", "high"]))
        yield {
            "by": by, "group": group, "metric": metric, "images": found.pop("n"), "patients": patients, **found,
            "pooled": of_pixels["pooled"], "pooled_low": of_pixels["low"], "pooled_high": of_pixels["high"],
        }  # fmt: skip
