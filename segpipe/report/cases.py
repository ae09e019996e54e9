"""Which images the overview shows: the best, those in the middle, and the worst."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Group = Literal["best", "median", "worst"]
GROUPS: tuple[Group, ...] = ("best", "median", "worst")


@dataclass(frozen=True)
class Case:
    """One image to show.

    ``image`` is uint8 (rows, columns), bone bright; ``reference`` and ``prediction`` are unsigned
    (rows, columns) with class ``i`` in bit ``i``. ``miou`` is that of the report.
    """

    group: Group
    image_id: str
    miou: float
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


def choose_cases(table: pd.DataFrame, each: int = 3) -> list[tuple[Group, str]]:
    """Group and image_id of at most ``each`` images a group, best first, none twice.

    ``table`` is the report. Equal scores go by image_id, so the choice does not depend on the order of
    rows. Fewer than ``3 * each`` scored images are shared out evenly; a single one counts as best.
    """
    scored = table[table["status"] == "scored"].sort_values(["miou", "image_id"], ascending=[False, True])
    ids = [str(name) for name in scored["image_id"]]
    if len(ids) < 3:
        return list(zip(("best", "worst"), ids, strict=False))
    each = min(each, len(ids) // 3)
    middle = (len(ids) - each) // 2
    chosen = (ids[:each], ids[middle : middle + each], ids[-each:])
    return [(group, name) for group, names in zip(GROUPS, chosen, strict=True) for name in names]
