"""What each seed of ``train.repeats`` reaches alone, beside what all of them reach together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.trials import RUN, repeat_folder


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


def spread(table: pd.DataFrame, repeats: Sequence[int]) -> dict[str, Any]:
    """Mean MIoU of each seed alone, their standard deviation (n - 1), and of the seeds together; None of no images.

    ``table`` is the report (:func:`segpipe.report.table.build_report`).
    """
    scored = table[table["status"] == "scored"]
    if scored.empty:
        return {"miou": [None] * len(repeats), "sd": None, "together": None}
    mious = pd.Series([float(scored[f"miou_repeat_{repeat}"].mean()) for repeat in repeats])
    return {"miou": mious.tolist(), "sd": float(mious.std(ddof=1)), "together": float(scored["miou"].mean())}
