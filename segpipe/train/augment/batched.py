"""Augmentation of a whole batch at once, on the device that trains.

Each image has its own parameters (:mod:`segpipe.train.augment.draws`), so the result for an image does not
depend on its batch. Compared with a transform per image on the CPU this costs a fraction, and a GPU does not wait.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from segpipe.train.augment.draws import Draws

LARGEST_BLUR = 4.0  # standard deviations on each side of a blur's kernel


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
