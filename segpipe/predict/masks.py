"""From a network's probabilities to masks at the original size, as MONAI transforms."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.transforms import Compose, Transform

from segpipe.config import Predict
from segpipe.transforms import RestoreGeometryd

WINDOW = 512


class ProbabilityToMaskd(Transform):
    """Threshold ``probability`` (classes, rows, columns) into ``mask``, bool of the same shape.

    ``exclusive`` leaves each pixel only its likeliest class, as a label image can hold no more.
    """

    def __init__(self, threshold: float, exclusive: bool) -> None:
        self.threshold, self.exclusive = threshold, exclusive

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        probability = np.asarray(data["probability"])
        mask = probability >= self.threshold
        if self.exclusive:
            likeliest = np.arange(len(probability))[:, np.newaxis, np.newaxis] == probability.argmax(axis=0)
            mask &= likeliest
        return {**data, "mask": mask}


def postprocessing(threshold: float, exclusive: bool) -> Compose:
    """Probabilities, not labels, go back to the original geometry; then they are thresholded."""
    return Compose([RestoreGeometryd(keys="probability"), ProbabilityToMaskd(threshold, exclusive)])


def build_inferer(predict: Predict, size: int) -> Inferer:
    """MONAI's inferer: the whole picture at once, or a window that slides over it."""
    if predict.inferer == "whole":
        return SimpleInferer()
    return SlidingWindowInferer(roi_size=(min(WINDOW, size),) * 2, sw_batch_size=1, overlap=0.25, mode="gaussian")
