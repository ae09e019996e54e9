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
    """Each score must be that of the mask that is there now, and of one that may be scored.

    Raises:
        InputError: an image's mask is another one by now, nothing predicted it, or only a model that knows it.
    """
    honest = predictions[predictions["predicted"] & ~predictions["seen"]]
    masks = honest.set_index("image_id")["masks_sha256"].reindex(scores["image_id"])
    wrong = scores.loc[masks.to_numpy() != scores["masks_sha256"].to_numpy(), "image_id"]
    if len(wrong):
        raise InputError(
            f"{len(wrong)} of {len(scores)} images have scores of other masks than those that are there, the first "
            f"{wrong.iloc[0]!r}: scores and predictions are of different models or runs. Delete the folder scores and "
            "run snakemake: everything is scored again."
        )
