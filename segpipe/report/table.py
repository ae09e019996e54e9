"""report.csv, and the same as report.parquet: one row per image, whatever became of it, from all stages' tables.

Of those only the columns that a report needs are read, since there may be many rows.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config import Score
from segpipe.config.stages import ReportStage
from segpipe.config.variants import RUN, repeat_folder
from segpipe.dataset.flags import robust_z, with_checks
from segpipe.errors import InputError
from segpipe.files.table import as_text
from segpipe.preprocess.quality import share_column
from segpipe.preprocess.store import FACTS
from segpipe.report.columns import EVERYTHING, Column, repeat_columns, report_columns, score_columns_of
from segpipe.samples.shards import carried_column
from segpipe.score.calibration import FACTS as MASK_FACTS
from segpipe.score.columns import measured_columns, score_columns

TRAINING = (
    "its patient trained or validated the only model (folds.scheme: holdout), so it is not predicted; "
    "kfold scores every image"
)
SEEN = (
    "a model that predicts it was trained on this patient's pictures (as model.weights, or through model.init), so "
    "that its score would say nothing"
)

# Of a row in the store; what serves to find a row again, or a changed file, stays there.
_LEFT_OUT = {"cache_key", "salt_key", "mask_sha256", "content", "file_bytes"}
_IMAGE = ("image_id", "image", "patient", "patient_source", "site", "status", "reason")
_PREDICTION = ("image_id", "predicted", "seen", "removed_pixels", "filled_pixels", "engine")


def run_table(stage: ReportStage, results: Path, shards: Sequence[str], with_folds: bool) -> pd.DataFrame:
    """The report's table (:func:`build_report`) from the tables of all stages.

    Raises:
        InputError: a table is missing or damaged, or an image is scored though nothing predicted it, or only a model
            that knows it.
    """
    images, predictions = read_images(stage, results, shards), read_predictions(stage, results, shards)
    measured = [*score_columns(stage.classes), *measured_columns(stage.classes, stage.score)]
    scores = read_scores(results, shards, ["image_id", *measured])
    check_scored(scores, predictions)
    repeats = range(1, stage.repeats + 1)
    scores = with_repeats(scores, results, shards, repeats)
    if with_folds:
        columns = ["image_id", "fold", "duplicate_of", "near_duplicate_of"]
        gathered = pd.read_parquet(results / "dataset" / "dataset.parquet", columns=columns)
        images = images.merge(gathered, on="image_id", how="left")
    images = with_checks(images, stage.checks, stage.classes)
    images["status"], images["reason"] = _outcome(images, predictions)
    tidied = predictions.loc[predictions["predicted"], ["image_id", "engine", "removed_pixels", "filled_pixels"]]
    images = images.merge(tidied, on="image_id", how="left")
    images = with_quality(images, predictions, stage.classes)
    return build_report(images, scores, stage.classes, stage.carried, repeats, stage.score)


def _outcome(images: pd.DataFrame, predictions: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Status and reason of each image after all stages."""
    found = predictions.set_index("image_id").loc[images["image_id"], ["predicted", "seen"]].to_numpy(bool)
    usable = (images["status"] != "quarantined").to_numpy()
    skipped, seen = usable & ~found[:, 0], usable & found[:, 1]
    status = images["status"].replace({"labelled": "scored"}).where(~(skipped | seen), "training")
    return status, images["reason"].where(~skipped, TRAINING).where(~seen, SEEN)


def read_images(stage: ReportStage, results: Path, shards: Sequence[str]) -> pd.DataFrame:
    """The rows of all stores."""
    wanted = [*_IMAGE, *(name for name in FACTS if name not in _LEFT_OUT)]
    # A shard without a readable image has no shares of classes; a wildcard may be new.
    may = [*map(share_column, stage.classes), *map(carried_column, stage.carried)]
    return _read([results / "shards" / shard / "table.parquet" for shard in shards], wanted, may)


def read_predictions(stage: ReportStage, results: Path, shards: Sequence[str]) -> pd.DataFrame:
    """What was predicted, and what that told of each mask."""
    may = [f"{fact}_{name}" for fact in MASK_FACTS for name in stage.classes]
    return _read([results / "predictions" / f"{shard}.parquet" for shard in shards], _PREDICTION, may)


def read_scores(results: Path, shards: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of all score tables."""
    return _read([results / "scores" / f"{shard}.parquet" for shard in shards], columns)


def check_scored(scores: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Each score must be that of a mask that may be scored.

    Raises:
        InputError: an image is scored though nothing predicted it, or only a model that knows it.
    """
    honest = predictions.loc[predictions["predicted"] & ~predictions["seen"], "image_id"]
    wrong = scores.loc[~scores["image_id"].isin(honest), "image_id"]
    if len(wrong):
        raise InputError(
            f"{len(wrong)} of {len(scores)} images have scores but no mask that may be scored, the first "
            f"{wrong.iloc[0]!r}: scores and predictions are of different models or runs. Delete the folder scores and "
            "run snakemake: everything is scored again."
        )


def with_quality(images: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The images with what prediction found of each (:mod:`segpipe.predict.writer`), and how unusual its area is.

    What no prediction recorded is blank.
    """
    names = [f"{fact}_{name}" for fact in MASK_FACTS for name in classes]
    known = predictions[predictions["predicted"]].set_index("image_id").reindex(columns=names)
    found = images.merge(known.astype("float64"), left_on="image_id", right_index=True, how="left")
    areas = {f"predicted_area_z_{name}": robust_z(found[f"predicted_share_{name}"]) for name in classes}
    return found.assign(**areas)


def with_repeats(scores: pd.DataFrame, results: Path, shards: Sequence[str], repeats: Sequence[int]) -> pd.DataFrame:
    """The scores with a column ``miou_repeat_<r>`` for each seed, and their standard deviation (n - 1).

    Unchanged where there is one seed.
    """
    if len(repeats) < 2:
        return scores
    scored = scores.set_index("image_id")
    alone = {}
    for repeat in repeats:
        folder = results / repeat_folder(RUN, repeat) / "scores"
        parts = [pd.read_parquet(folder / f"{shard}.parquet", columns=["image_id", "miou"]) for shard in shards]
        alone[f"miou_repeat_{repeat}"] = pd.concat(parts).set_index("image_id")["miou"].reindex(scored.index)
    mious = pd.DataFrame(alone, index=scored.index)
    return scored.join(mious.assign(miou_repeats_sd=mious.std(axis=1, ddof=1))).reset_index()


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


def _read(paths: Sequence[Path], wanted: Sequence[str], may: Sequence[str] = ()) -> pd.DataFrame:
    """The tables one after the other; a column of ``may`` need not be everywhere."""
    tables = [_one(path, wanted, may) for path in paths]
    joined: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return joined


def _one(path: Path, wanted: Sequence[str], may: Sequence[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            missing = [name for name in wanted if name not in there]
            if not missing:
                return file.read([*wanted, *(name for name in may if name in there)], use_threads=False)
        found = f"has no column {missing[0]}: another version of segpipe made it, or it is of other classes or settings"
    except FileNotFoundError:
        found = "is missing"
    except (OSError, pa.ArrowException) as error:
        found = f"is damaged ({type(error).__name__})"
    raise InputError(f"{path} {found}. Delete it and run snakemake again; the report needs the tables of every shard.")
