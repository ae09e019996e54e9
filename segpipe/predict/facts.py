"""What prediction alone tells of a mask, for every image, labelled or not: the report's measures of quality."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segpipe.score.components import count_components
from segpipe.score.quality import FACTS, mean_entropy


def facts_of(masks: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float]]:
    """Numbers by class for the journal.

    ``masks`` is bool (classes, rows, columns) at the original size, ``probabilities`` float (classes, rows, columns)
    in the network's square without its padding.
    """
    return {
        "components": [count_components(mask.view(np.uint8)) for mask in masks],
        "predicted_share": [np.count_nonzero(mask) / mask.size for mask in masks],
        "entropy": [mean_entropy(probability) for probability in probabilities],
    }


def fact_columns(facts: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """The journal's numbers as columns of the shard's index; NaN for what was not recorded."""
    nothing = [None] * len(classes)
    cells = {
        f"{fact}_{name}": value
        for fact in FACTS
        for name, value in zip(classes, facts.get(fact) or nothing, strict=True)
    }
    return {name: float("nan") if value is None else float(value) for name, value in cells.items()}
