"""How a picture of any size fits the network's square, and the exact way back.

Coordinates are pixel centres: row r of the original lies at ``(r + 0.5) * scale_row - 0.5 + pad_top`` of the square.
Every resize here uses that convention, so the way back is not shifted by half a pixel.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import cv2
import numpy as np


@dataclass(frozen=True)
class Geometry:
    """The fit of one picture; enough to undo it.

    ``rows`` and ``columns`` are the original's size, ``fitted_rows`` and ``fitted_columns`` its size inside
    the square of ``size`` pixels, ``pad_top`` and ``pad_left`` where it starts there.
    """

    rows: int
    columns: int
    size: int
    fitted_rows: int
    fitted_columns: int
    pad_top: int
    pad_left: int

    @classmethod
    def of_row(cls, row: Mapping[Hashable, Any]) -> "Geometry":
        """The geometry that a row of the store's table recorded."""
        return cls(**{field.name: int(row[field.name]) for field in fields(cls)})

    @property
    def scale_row(self) -> float:
        """Rows of the square per row of the original."""
        return self.fitted_rows / self.rows

    @property
    def scale_column(self) -> float:
        """Columns of the square per column of the original."""
        return self.fitted_columns / self.columns

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where the picture lies in the square; the rest is padding."""
        return (
            slice(self.pad_top, self.pad_top + self.fitted_rows),
            slice(self.pad_left, self.pad_left + self.fitted_columns),
        )


def plan_fit(shape: tuple[int, int], size: int, fit: Literal["letterbox", "stretch"]) -> Geometry:
    """Choose the geometry for a picture of ``shape`` (rows, columns).

    ``letterbox`` keeps the aspect ratio and centres the picture; ``stretch`` fills the square.
    """
    rows, columns = shape
    if fit == "stretch":
        return Geometry(rows, columns, size, size, size, 0, 0)
    scale = size / max(rows, columns)
    fitted_rows, fitted_columns = (max(1, round(length * scale)) for length in shape)
    return Geometry(
        rows,
        columns,
        size,
        fitted_rows,
        fitted_columns,
        (size - fitted_rows) // 2,
        (size - fitted_columns) // 2,
    )


def fit_picture(picture: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The picture inside its padding-free frame: (fitted_rows, fitted_columns), same dtype.

    Shrinking averages areas, enlarging interpolates linearly, each axis by its own rule.
    """
    return _resize(picture, geometry.fitted_rows, geometry.fitted_columns)


def fit_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A 0/1 mask in the square, uint8 (size, size): a pixel is set where at least half its area is.

    Averaging keeps thin structures unbiased, which nearest neighbour would cut or keep by chance.
    """
    coverage = fit_picture(mask.astype(np.float32), geometry)
    return pad((coverage >= 0.5).astype(np.uint8), geometry)


def pad(inner: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Put the fitted picture into the square, zeros around it."""
    if inner.shape == (geometry.size, geometry.size):
        return inner
    square = np.zeros((geometry.size, geometry.size), inner.dtype)
    square[geometry.inside] = inner
    return square


def into_square(channels: np.ndarray, geometry: Geometry, masks: bool = False) -> np.ndarray:
    """Each channel of (n, rows, columns) in the square, (n, size, size): grey values, or 0/1 of ``masks``."""
    if masks:
        return np.stack([fit_mask(channel, geometry) for channel in np.asarray(channels)])
    return np.stack([pad(fit_picture(channel, geometry), geometry) for channel in np.asarray(channels)])


def restore(square: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The way back: (size, size) float32 to (rows, columns), for probabilities rather than labels.

    Thresholding after this places contours between the square's pixels instead of on its grid.
    """
    return _resize(np.ascontiguousarray(square[geometry.inside]), geometry.rows, geometry.columns)


def at_original_size(square: np.ndarray, geometry: Geometry) -> np.ndarray:
    """:func:`restore` of every channel of (classes, size, size): float32 (classes, rows, columns).

    Of kept probabilities, the threshold on the result gives the mask again, but for the rounding of what was kept, and
    before small pieces are removed and holes filled.
    """
    channels = np.asarray(square, np.float32)
    restored = np.empty((len(channels), geometry.rows, geometry.columns), np.float32)  # np.stack takes twice that
    for channel, place in zip(channels, restored, strict=True):
        place[:] = restore(channel, geometry)
    return restored


def _resize(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    shrink_rows, shrink_columns = rows <= picture.shape[0], columns <= picture.shape[1]
    if shrink_rows != shrink_columns:  # INTER_AREA enlarges in blocks, so each axis takes its own method
        picture = _resize(
            picture, rows if shrink_rows else picture.shape[0], columns if shrink_columns else picture.shape[1]
        )
    if picture.shape == (rows, columns):
        return picture
    shrinks = rows <= picture.shape[0] and columns <= picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (columns, rows), interpolation=method)
