"""Augmentation of a whole batch at once, on the device that trains, drawn from (seed, epoch, image) and nothing else.

Each image has parameters of its own, so what happens to it does not depend on its batch. Compared with a transform
per image on the CPU this costs a fraction, and a GPU does not wait.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from segpipe.train.seeds import draw_seed

Range = tuple[float, float]


@dataclass(frozen=True)
class AugmentationPolicy:
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


POLICIES: dict[Literal["none", "light", "strong"], AugmentationPolicy] = {
    "none": AugmentationPolicy(),
    # poses and exposures that a second visit to the same X-ray room might give
    "light": AugmentationPolicy(
        pose=0.8, degrees=10, scale=0.12, shift=0.05,
        gamma=0.5, gamma_range=(0.7, 1.4), contrast=0.3, contrast_change=0.15,
        brightness=0.3, brightness_change=0.08, noise=0.2, noise_deviation=0.03,
    ),
    # other rooms, detectors and bodies
    "strong": AugmentationPolicy(
        pose=0.9, degrees=20, scale=0.25, shift=0.1, elastic=0.3, elastic_shift=0.015,
        gamma=0.5, gamma_range=(0.6, 1.6), contrast=0.4, contrast_change=0.3,
        brightness=0.4, brightness_change=0.15, blur=0.2, blur_sigma=(0.001, 0.003),
        coarse=0.2, coarse_range=(0.3, 0.8), noise=0.3, noise_deviation=0.06,
        erase=0.2, erase_side=(0.05, 0.25),
    ),
}  # fmt: skip

ELASTIC_GRID = 8  # control points a side
LARGEST_BLUR = 4.0  # standard deviations on each side of a blur's kernel


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


def draw(policy: AugmentationPolicy, seed: int, epoch: int, image_ids: Sequence[str]) -> Draws:
    """The draws of some images; those of one image do not depend on the others."""
    seeds = [draw_seed(seed, epoch, image_id) for image_id in image_ids]
    rows = [_one(policy, np.random.Generator(np.random.PCG64(number))) for number in seeds]
    columns = [np.stack([np.asarray(row[place], np.float32) for row in rows]) for place in range(9)]
    return Draws(np.array(seeds, np.int64), *columns)


def _one(policy: AugmentationPolicy, rng: np.random.Generator) -> tuple[object, ...]:
    # Everything is drawn whether it is used or not, so that changing one step changes no other.
    happens, amount = rng.random(9), rng.uniform(-1, 1, 14)
    field = rng.standard_normal((2, ELASTIC_GRID, ELASTIC_GRID))
    unit = (amount + 1) / 2

    def within(limits: Range, place: int) -> float:
        return limits[0] + float(unit[place]) * (limits[1] - limits[0])

    return (
        _pose(policy, amount) if happens[0] < policy.pose else np.eye(2, 3),
        field * 2 * policy.elastic_shift if happens[1] < policy.elastic else np.zeros_like(field),
        within(policy.gamma_range, 5) if happens[2] < policy.gamma else 1.0,
        1 + policy.contrast_change * amount[6] if happens[3] < policy.contrast else 1.0,
        policy.brightness_change * amount[7] if happens[4] < policy.brightness else 0.0,
        within(policy.blur_sigma, 8) if happens[5] < policy.blur else 0.0,
        within(policy.coarse_range, 9) if happens[6] < policy.coarse else 1.0,
        policy.noise_deviation * unit[10] if happens[7] < policy.noise else 0.0,
        _rectangle(within(policy.erase_side, 11), unit[12:14]) if happens[8] < policy.erase else np.zeros(4),
    )


def _pose(policy: AugmentationPolicy, amount: np.ndarray) -> np.ndarray:
    angle = np.deg2rad(policy.degrees * amount[0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sides = 1 + policy.scale * amount[1:3]
    return np.column_stack([rotation * sides, 2 * policy.shift * amount[3:5]])


def _rectangle(side: float, place: np.ndarray) -> np.ndarray:
    top, left = place * (1 - side)
    return np.array([top, left, top + side, left + side])


def augment(images: Tensor, masks: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) float32 in [0, 1] and masks (n, classes, size, size) 0/1, changed as drawn.

    Geometry first, the same for image and mask; then grey values, which stay within [0, 1].
    """
    images, masks = move(images, masks, draws)
    images = change_greys(images, draws)
    return erase(images, draws), masks


def move(images: Tensor, masks: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Pose and elastic deformation; outside of the picture it is black, as letterboxing pads."""
    moved = _chosen((draws.theta != np.eye(2, 3, dtype=np.float32)).any((1, 2)) | draws.elastic.any((1, 2, 3)), images)
    if len(moved) == 0:
        return images, masks
    theta, elastic = (_on(part, images)[moved] for part in (draws.theta, draws.elastic))
    grid = F.affine_grid(theta, [len(moved), 1, *images.shape[2:]], align_corners=False)
    if draws.elastic.any():
        field = F.interpolate(elastic, images.shape[2:], mode="bicubic", align_corners=False)
        grid = grid + field.permute(0, 2, 3, 1)
    # together, because most of the time goes into the places; half of a pixel's weight makes it foreground
    sampled = F.grid_sample(torch.cat([images, masks], 1)[moved], grid, mode="bilinear", align_corners=False)
    images, masks = images.clone(), masks.clone()
    images[moved], masks[moved] = sampled[:, :1], (sampled[:, 1:] >= 0.5).to(masks.dtype)
    return images, masks


def change_greys(images: Tensor, draws: Draws) -> Tensor:
    """Gamma, contrast, brightness, blur, lower resolution and noise, in this order."""
    gamma, contrast, brightness = (
        _on(part, images)[:, None, None, None] for part in (draws.gamma, draws.contrast, draws.brightness)
    )
    if (draws.gamma != 1).any():
        images = images.clamp(0, 1) ** gamma
    images = images * contrast + brightness
    images = _each(images, draws.blur > 0, draws.blur, blur)
    images = _each(images, draws.coarse < 1, draws.coarse, coarsen)
    for index in np.flatnonzero(draws.noise):
        images[index] += float(draws.noise[index]) * _noise(int(draws.noise_seed[index]), images[index])
    return images.clamp(0, 1)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (1, size, size); ``sigma`` is a fraction of the side."""
    pixels = sigma * image.shape[-1]
    reach = max(1, math.ceil(LARGEST_BLUR * pixels))
    places = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (places / pixels) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    padded = F.pad(image[None], (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel[..., None, :])
    return F.conv2d(rows, kernel[..., None])[0]


def coarsen(image: Tensor, fraction: float) -> Tensor:
    """(1, size, size) at a fraction of its resolution, and back."""
    side = max(8, round(fraction * image.shape[-1]))
    small = F.interpolate(image[None], (side, side), mode="area")
    return F.interpolate(small, image.shape[1:], mode="bilinear", align_corners=False)[0]


def erase(images: Tensor, draws: Draws) -> Tensor:
    """A square of each drawn image becomes its mean grey; the mask stays, so the network has to guess."""
    for index in np.flatnonzero(draws.erase.any(1)):
        top, left, bottom, right = (round(float(part) * images.shape[-1]) for part in draws.erase[index])
        images[index, :, top:bottom, left:right] = images[index].mean()
    return images


def _each(images: Tensor, chosen: np.ndarray, amount: np.ndarray, step: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Few images get these steps, each by another amount, so they are taken one by one."""
    for index in np.flatnonzero(chosen):
        images[index] = step(images[index], float(amount[index]))
    return images


def _noise(seed: int, like: Tensor) -> Tensor:
    generator = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _on(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device, non_blocking=True)


def _chosen(which: np.ndarray, like: Tensor) -> Tensor:
    return _on(np.flatnonzero(which), like)
