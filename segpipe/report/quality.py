"""What tells of a mask without its reference, and how far it goes along with IoU where there is one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from segpipe.checks.flags import robust_z
from segpipe.score.quality import FACTS, rank_correlation

AREA = "predicted_area_z"
MEASURES = ("entropy", "disagreement", "components", AREA)


def with_quality(images: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The images with what prediction found of each (:mod:`segpipe.predict.facts`), and how unusual its area is.

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
