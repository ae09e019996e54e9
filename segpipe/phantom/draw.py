"""A pose (body to pixel coordinates) and what can be drawn in it."""

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 pixel


@dataclass(frozen=True)
class Pose:
    """Where the patient stands before the detector.

    ``shape`` is (rows, columns) of the picture in pixels, ``unit`` the pixels per body unit, ``angle``
    in radians (clockwise on the screen), ``centre`` the pixel (x, y) of the body's origin.
    """

    shape: tuple[int, int]
    unit: float
    angle: float
    centre: tuple[float, float]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Body coordinates (n, 2) as fixed-point pixel coordinates (n, 2) int32, x first."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(np.rint((turned * self.unit + self.centre) * (1 << _SHIFT)), np.int32)

    def filled(self, outline: np.ndarray) -> np.ndarray:
        """The inside of a closed outline, (rows, columns) uint8 of 0 and 1."""
        canvas = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(canvas, [self.pixels(outline)], (1,), lineType=cv2.LINE_8, shift=_SHIFT)
        return canvas

    def stroke(self, canvas: np.ndarray, curve: np.ndarray, width: float, value: int) -> None:
        """Draw an open curve ``width`` body units wide into the uint8 canvas, at least one pixel."""
        thickness = max(1, round(width * self.unit))
        points = self.pixels(curve)
        cv2.polylines(canvas, [points], False, (value,), thickness, lineType=cv2.LINE_AA, shift=_SHIFT)

    def soft(self, picture: np.ndarray, sigma: float) -> np.ndarray:
        """The picture as float32, blurred by ``sigma`` body units."""
        return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), max(0.3, sigma * self.unit))

    def thickness(self, mask: np.ndarray, depth: float) -> np.ndarray:
        """How thick a rounded organ is along the beam: 0 at its edge, towards 1 ``depth`` units inside.

        (rows, columns) float32.
        """
        if not mask.any():
            return np.zeros(self.shape, np.float32)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / np.float32(depth * self.unit)
        return np.asarray(np.sqrt(1.0 - (1.0 - np.minimum(distance, 1.0)) ** 2), np.float32)


def sample_pose(rng: np.random.Generator, shape: tuple[int, int]) -> Pose:
    """Draw a pose that keeps both lungs inside a picture of (rows, columns) pixels."""
    rows, columns = shape
    unit = min(columns / 2.55, rows / 2.70) * rng.uniform(0.86, 1.04)
    shift_x, shift_y = rng.uniform(-0.06, 0.06, 2) * unit
    centre = (columns / 2.0 + shift_x, rows * 0.50 + shift_y)
    return Pose(shape, unit, float(np.radians(rng.normal(0.0, 2.5))), centre)
