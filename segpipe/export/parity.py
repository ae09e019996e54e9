"""Does an exported file compute what the model computes? Every export is asked before it is kept."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from segpipe.errors import InputError
from segpipe.export.graph import PicturesToLogits
from segpipe.phantom import phantom_arrays

BATCHES = (1, 3)
TOLERANCE = 1e-3  # of the largest logit; what float32 and another order of sums leave is a hundred times less


@dataclass(frozen=True)
class Parity:
    """The largest difference of a logit, and the mask pixels (at the network's size) that differ, of how many."""

    difference: float
    differing: int
    pixels: int

    def __str__(self) -> str:
        return (
            f"{sum(BATCHES)} synthetic pictures: largest difference of a logit {self.difference:.1e}, "
            f"{self.differing} of {self.pixels} mask pixels differ"
        )


def parity(network: nn.Module, run: Callable[[np.ndarray], np.ndarray], size: int, what: str) -> Parity:
    """Compare ``run``, from pictures to logits, with the network itself, in batches of one and of three.

    Raises:
        InputError: they differ by more than rounding.
    """
    reference = PicturesToLogits(network).eval()
    difference, differing, pixels, largest = 0.0, 0, 0, 1.0
    for start, count in zip((0, *np.cumsum(BATCHES)), BATCHES, strict=False):
        images = np.stack([_picture(int(start) + number, size) for number in range(count)])
        with torch.no_grad():
            wanted = reference(torch.from_numpy(images)).numpy()
        found = run(images)
        difference = float(np.maximum(difference, np.abs(found - wanted).max()))  # NaN stays
        largest = max(largest, float(np.abs(wanted).max()))
        differing += int(np.count_nonzero((found > 0) != (wanted > 0)))
        pixels += wanted.size
    if not difference <= TOLERANCE * largest:  # NaN is no parity either
        raise InputError(
            f"{what}: its logits differ from the model's by up to {difference:.3g} (the largest is {largest:.3g}), "
            "which is more than rounding. It was not kept; please report this with the network's name and options."
        )
    return Parity(difference, differing, pixels)


def _picture(number: int, size: int) -> np.ndarray:
    """A phantom as the store would hold it, (1, size, size) float32 in [0, 1]."""
    pixels, _ = phantom_arrays(number, (size, size))
    stored: np.ndarray = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return stored[np.newaxis]
