"""The tables of the earlier stages, shard by shard; what does not belong together is refused."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from segpipe.errors import InputError


def read_part(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A shard's table.

    Raises:
        InputError: it is missing or damaged, or lacks one of ``columns``: it is of other classes, another ``score``
            section or another version.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        kind = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise InputError(
            f"{path} {kind}, so the report would lack a shard. Run snakemake: it makes the file."
        ) from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}: it was made for other classes or another score section of the "
            "config, or by another version. Delete it and run snakemake: the shard is scored again."
        )
    return table


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
