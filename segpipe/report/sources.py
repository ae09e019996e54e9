"""The tables of earlier stages, of all shards: only the columns that a report needs, since there may be many rows."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segpipe.config.stages import ReportStage
from segpipe.errors import InputError
from segpipe.preprocess.quality import share_column
from segpipe.preprocess.store import FACTS
from segpipe.samples.shards import carried_column
from segpipe.score.calibration import FACTS as MASK_FACTS

# Of a row in the store; what serves to find a row again, or a changed file, stays there.
_LEFT_OUT = {"cache_key", "salt_key", "mask_sha256", "content", "file_bytes"}
_IMAGE = ("image_id", "image", "patient", "patient_source", "site", "status", "reason")
_PREDICTION = ("image_id", "predicted", "seen", "removed_pixels", "filled_pixels", "engine")


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
