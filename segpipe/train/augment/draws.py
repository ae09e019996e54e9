"""What happens to each image of a batch, drawn from (seed, epoch, image) and from nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segpipe.train.seeds import draw_seed

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """Probabilities and ranges; a probability of 0 leaves a step out. Lengths are fractions of the picture's side."""

    pose: float = 0.0  # probability of rotation, scaling and shift together
    degrees: float = 0.0
    scale: float = 0.0  # 0.12: sides from 88 % to 112 %
    shift: float = 0.0
    elastic: float = 0.0
    elastic_shift: float = 0.0  # standard deviation of the control points' displacement
    gamma: float = 0.0
    gamma_range: Range = (1.0, 1.0)
    contrast: float = 0.0
    contrast_change: float = 0.0  # 0.15: values times 0.85 to 1.15
    brightness: float = 0.0
    brightness_change: float = 0.0  # of the range 0 to 1
    blur: float = 0.0
    blur_sigma: Range = (0.0, 0.0)  # fractions of the side
    coarse: float = 0.0  # probability of a lower resolution
    coarse_range: Range = (1.0, 1.0)  # fractions of the resolution
    noise: float = 0.0
    noise_deviation: float = 0.0
    erase: float = 0.0
    erase_side: Range = (0.0, 0.0)


RECIPES: dict[Literal["none", "light", "strong"], Recipe] = {
    "none": Recipe(),
    # poses and exposures that a second visit to the same X-ray room might give
    "light": Recipe(
        pose=0.8, degrees=10, scale=0.12, shift=0.05,
        gamma=0.5, gamma_range=(0.7, 1.4), contrast=0.3, contrast_change=0.15,
        brightness=0.3, brightness_change=0.08, noise=0.2, noise_deviation=0.03,
    ),
    # other rooms, detectors and bodies
    "strong": Recipe(
        pose=0.9, degrees=20, scale=0.25, shift=0.1, elastic=0.3, elastic_shift=0.015,
        gamma=0.5, gamma_range=(0.6, 1.6), contrast=0.4, contrast_change=0.3,
        brightness=0.4, brightness_change=0.15, blur=0.2, blur_sigma=(0.001, 0.003),
        coarse=0.2, coarse_range=(0.3, 0.8), noise=0.3, noise_deviation=0.06,
        erase=0.2, erase_side=(0.05, 0.25),
    ),
}  # fmt: skip

ELASTIC_GRID = 8  # control points a side


@dataclass(frozen=True)
class Draws:
    """Parameters of n images, one row or element each; what is left out has the value that changes nothing."""

    noise_seed: np.ndarray  # (n,) int64
    theta: np.ndarray  # (n, 2, 3) float32, from places of the result to places of the picture, both in -1..1
    elastic: np.ndarray  # (n, 2, ELASTIC_GRID, ELASTIC_GRID) float32, displacements in -1..1
    gamma: np.ndarray  # (n,) float32, as are the following
    contrast: np.ndarray
    brightness: np.ndarray
    blur: np.ndarray
    coarse: np.ndarray
    noise: np.ndarray
    erase: np.ndarray  # (n, 4) float32: top, left, bottom, right as fractions; all 0: nothing


def draw(recipe: Recipe, seed: int, epoch: int, image_ids: Sequence[str]) -> Draws:
    """The draws of some images; those of one image do not depend on the others."""
    seeds = [draw_seed(seed, epoch, image_id) for image_id in image_ids]
    rows = [_one(recipe, np.random.Generator(np.random.PCG64(number))) for number in seeds]
    columns = [np.stack([np.asarray(row[place], np.float32) for row in rows]) for place in range(9)]
    return Draws(np.array(seeds, np.int64), *columns)


def _one(recipe: Recipe, rng: np.random.Generator) -> tuple[object, ...]:
    # Everything is drawn whether it is used or not, so that changing one step changes no other.
    happens, amount = rng.random(9), rng.uniform(-1, 1, 14)
    field = rng.standard_normal((2, ELASTIC_GRID, ELASTIC_GRID))
    unit = (amount + 1) / 2

    def within(limits: Range, place: int) -> float:
        return limits[0] + float(unit[place]) * (limits[1] - limits[0])

    return (
        _pose(recipe, amount) if happens[0] < recipe.pose else np.eye(2, 3),
        field * 2 * recipe.elastic_shift if happens[1] < recipe.elastic else np.zeros_like(field),
        within(recipe.gamma_range, 5) if happens[2] < recipe.gamma else 1.0,
        1 + recipe.contrast_change * amount[6] if happens[3] < recipe.contrast else 1.0,
        recipe.brightness_change * amount[7] if happens[4] < recipe.brightness else 0.0,
        within(recipe.blur_sigma, 8) if happens[5] < recipe.blur else 0.0,
        within(recipe.coarse_range, 9) if happens[6] < recipe.coarse else 1.0,
        recipe.noise_deviation * unit[10] if happens[7] < recipe.noise else 0.0,
        _rectangle(within(recipe.erase_side, 11), unit[12:14]) if happens[8] < recipe.erase else np.zeros(4),
    )


def _pose(recipe: Recipe, amount: np.ndarray) -> np.ndarray:
    angle = np.deg2rad(recipe.degrees * amount[0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sides = 1 + recipe.scale * amount[1:3]
    return np.column_stack([rotation * sides, 2 * recipe.shift * amount[3:5]])


def _rectangle(side: float, place: np.ndarray) -> np.ndarray:
    top, left = place * (1 - side)
    return np.array([top, left, top + side, left + side])
