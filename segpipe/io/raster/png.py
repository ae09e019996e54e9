"""From a PNG's parts to samples, palette and alpha."""

import cv2
import numpy as np

from segpipe.io.raster import png_chunks as png_format
from segpipe.io.raster.grey import Raster, meaningful
from segpipe.io.source import check_size


def decode_png(data: bytes) -> Raster:
    """Decode a PNG; raises ImageError for damaged and animated ones."""
    png = png_format.parse(data)
    colour = png_format.COLOUR_NAMES[png.colour]
    if png.colour == png_format.PALETTE:
        palette, entry_alpha = png_format.palette(png)
        check_size(png.rows, png.columns, 2 if entry_alpha is None else 3)  # indices, alpha, grey
        indices = png_format.decode_indices(png)
        alpha, notes = meaningful(None if entry_alpha is None else cv2.LUT(indices, entry_alpha))
        return Raster(indices, 8, colour, palette, alpha, notes)
    samples = png_format.decode_samples(png)
    alpha = None
    if png.colour in (png_format.GREY_ALPHA, png_format.RGB_ALPHA):
        samples, alpha = samples[..., :-1], samples[..., -1]
        samples = samples[..., 0] if samples.shape[2] == 1 else samples
    key = png_format.transparent_colour(png)
    if key is not None:
        alpha = _keyed_alpha(samples, key)
    alpha, notes = meaningful(alpha)
    return Raster(samples, png.depth, colour, None, alpha, notes)


def _keyed_alpha(samples: np.ndarray, key: list[int]) -> np.ndarray:
    """Zero where a pixel has the one transparent colour, full scale elsewhere."""
    clear = np.ones(samples.shape[:2], bool)
    for channel, value in zip(np.atleast_3d(samples).transpose(2, 0, 1), key, strict=True):
        clear &= channel == value
    alpha = np.full(clear.shape, np.iinfo(samples.dtype).max, samples.dtype)
    alpha[clear] = 0
    return alpha
