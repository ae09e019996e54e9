"""What tells of a mask without its reference, and what each seed reaches alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config.variants import RUN, repeat_folder
from segpipe.dataset.flags import robust_z
from segpipe.score.calibration import FACTS, rank_correlation

# What tells of a mask without its reference, and how far it goes along with IoU where there is one.

AREA = "predicted_area_z"
MEASURES = ("entropy", "disagreement", "components", AREA)


def with_quality(images: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The images with what prediction found of each (:mod:`segpipe.predict.writer`), and how unusual its area is.

    What no prediction recorded is blank.
    """
    names = [f"{fact}_{name}" for fact in FACTS for name in classes]
    known = predictions[predictions["predicted"]].set_index("image_id").reindex(columns=names)
    found = images.merge(known.astype("float64"), left_on="image_id", right_index=True, how="left")
    areas = {f"{AREA}_{name}": robust_z(found[f"predicted_share_{name}"]) for name in classes}
    return found.assign(**areas)


def correlations(table: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Spearman's rank correlation of each measure with IoU over the scored images, and their number.

    ``table`` is the report. A measure that helps has a strong negative one: the more doubt, the lower the IoU. None
    where it is the same for all, or there are fewer than three. Of areas the distance from the middle counts.
    """
    scored = table[table["status"] == "scored"]
    rows = []
    for measure in MEASURES:
        for name in classes:
            values = scored[f"{measure}_{name}"].astype("float64").abs()
            found, count = rank_correlation(values, scored[f"iou_{name}"])
            rows.append({"measure": measure, "class": name, "spearman": None if np.isnan(found) else found, "n": count})
    return rows


# What each seed of ``train.repeats`` reaches alone, beside what all of them reach together.


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
