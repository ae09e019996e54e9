"""From an anatomy and a pose to an image: thicknesses along the beam, then film, then noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from segpipe.demo.anatomy import Anatomy, sample_anatomy

_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 pixel


@dataclass(frozen=True)
class Pose:
    """Where the patient stands before the detector.

    ``shape`` is (rows, columns) of the image in pixels, ``unit`` the pixels per body unit, ``angle``
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

    def soft(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """The image as float32, blurred by ``sigma`` body units."""
        return cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.3, sigma * self.unit))

    def thickness(self, mask: np.ndarray, depth: float) -> np.ndarray:
        """How thick a rounded organ is along the beam: 0 at its edge, towards 1 ``depth`` units inside.

        (rows, columns) float32.
        """
        if not mask.any():
            return np.zeros(self.shape, np.float32)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / np.float32(depth * self.unit)
        return np.asarray(np.sqrt(1.0 - (1.0 - np.minimum(distance, 1.0)) ** 2), np.float32)


def sample_pose(rng: np.random.Generator, shape: tuple[int, int]) -> Pose:
    """Draw a pose that keeps both lungs inside an image of (rows, columns) pixels."""
    rows, columns = shape
    unit = min(columns / 2.55, rows / 2.70) * rng.uniform(0.86, 1.04)
    shift_x, shift_y = rng.uniform(-0.06, 0.06, 2) * unit
    centre = (columns / 2.0 + shift_x, rows * 0.50 + shift_y)
    return Pose(shape, unit, float(np.radians(rng.normal(0.0, 2.5))), centre)


def phantom_arrays(seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A synthetic chest radiograph and its masks.

    ``shape`` is (rows, columns), each at least 32. Returns ``pixels``, (rows, columns) float32 in
    [0, 1] with bone bright and air dark, and the masks ``{"lung": ..., "heart": ...}``, (rows, columns)
    bool; the heart overlaps the left lung, which is on the right of the image. Same arguments,
    same values.
    """
    return render(seed, seed, shape)


def render(patient: int, exposure: int, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """As :func:`phantom_arrays`, with seeds of its own for the body and for pose, exposure and noise."""
    anatomy = sample_anatomy(np.random.default_rng([patient, 0]))
    rng = np.random.default_rng([exposure, 1])
    pose = sample_pose(rng, shape)
    right, left = (pose.filled(outline) for outline in anatomy.lungs)
    masks = {"lung": (right | left) > 0, "heart": pose.filled(anatomy.heart) > 0}
    film = _film(_attenuation(anatomy, pose, rng), rng)
    return _marked(_exposed(film, rng), rng), masks


def _attenuation(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """The line integral of attenuation, (rows, columns) float32, 0 in free air, about 2 in the abdomen."""
    body = pose.filled(anatomy.body)
    tissue = pose.thickness(body, 0.55) * (1.0 + 0.10 * _clouds(rng, pose.shape, 5))
    lungs = sum(pose.thickness(pose.filled(outline), 0.22) for outline in anatomy.lungs)
    tissue = tissue * (1.35 * anatomy.density) * (1.0 - 0.74 * pose.soft(np.asarray(lungs), 0.008))
    tissue += 0.80 * pose.soft(pose.thickness(pose.filled(anatomy.heart), 0.35), 0.010)
    tissue += 0.38 * pose.soft(pose.thickness(pose.filled(anatomy.mediastinum), 0.14), 0.015)
    for breast in anatomy.breasts:
        tissue += 0.16 * pose.soft(pose.thickness(pose.filled(breast), 0.25), 0.02)
    bubble = pose.soft(pose.thickness(pose.filled(anatomy.stomach_bubble), 0.05), 0.01)
    tissue = tissue * (1.0 - 0.35 * bubble) + _vessels(anatomy, pose, np.asarray(lungs))
    return np.asarray((tissue + _bones(anatomy, pose)) * pose.soft(body, 0.004), np.float32)


def _bones(anatomy: Anatomy, pose: Pose) -> np.ndarray:
    ribs, spine, shoulders = (np.zeros(pose.shape, np.uint8) for _ in range(3))
    for rib in anatomy.ribs:
        _tube(ribs, pose, rib[34:], 0.075, 60)  # the front part is thinner and turns into cartilage
        _tube(ribs, pose, rib[:40], 0.068, 110)
    for vertebra in anatomy.vertebrae:
        spine |= pose.filled(vertebra) * np.uint8(115)
    for clavicle in anatomy.clavicles:
        _tube(shoulders, pose, clavicle, 0.085, 190)
    bones = pose.soft(ribs, 0.006) + pose.soft(spine, 0.012) + pose.soft(shoulders, 0.006)
    for scapula in anatomy.scapulae:
        bones += 38.0 * pose.soft(pose.filled(scapula), 0.010)
    return np.asarray(bones * np.float32(0.30 / 110.0))


def _tube(canvas: np.ndarray, pose: Pose, curve: np.ndarray, width: float, value: int) -> None:
    """A hollow bone: its dense cortex shows as two bright edges."""
    layer = np.zeros_like(canvas)
    pose.stroke(layer, curve, width, value)
    pose.stroke(layer, curve, width * 0.62, int(value * 0.68))
    np.maximum(canvas, layer, out=canvas)


def _vessels(anatomy: Anatomy, pose: Pose, lungs: np.ndarray) -> np.ndarray:
    canvas = np.zeros(pose.shape, np.uint8)
    for vessel in anatomy.vessels:
        for start in range(0, len(vessel) - 1, 3):
            taper = 1.0 - start / len(vessel)
            pose.stroke(canvas, vessel[start : start + 4], 0.042 * taper**1.3, int(60 + 150 * taper))
    return np.asarray(pose.soft(canvas, 0.007) * lungs * np.float32(0.17 / 210.0))


def _film(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The display curve of a digital detector (bright where little arrives), with quantum noise."""
    contrast = rng.uniform(0.85, 1.25)
    film = 1.0 - np.exp(-contrast * attenuation)
    grain = cv2.GaussianBlur(rng.standard_normal(film.shape, dtype=np.float32), (0, 0), 0.7)
    return np.asarray(film + grain * rng.uniform(0.012, 0.03) * (0.4 + film), np.float32)


def _exposed(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven exposure, scattered light and, on every third image, a collimator's black border."""
    rows, columns = film.shape
    tilt_y, tilt_x = rng.uniform(-0.10, 0.10, 2)
    down, across = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None, :]
    gradient = 1.0 + tilt_y * down + tilt_x * across
    image = rng.uniform(0.01, 0.08) + rng.uniform(0.85, 1.0) * film * gradient
    image += 0.015 * _clouds(rng, film.shape, 24) * film
    if rng.random() < 0.33:
        top, left = (int(rng.uniform(0.01, 0.04) * size) for size in film.shape)
        border = np.ones(film.shape, bool)
        border[top : rows - top, left : columns - left] = False
        image[border] = 0.0
    return np.asarray(np.clip(image, 0.0, 1.0), np.float32)


def _marked(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lead letters: R on the patient's right (left in the image) or L, and often a plate number."""
    rows, columns = image.shape
    size = min(rows, columns) / 480.0 * rng.uniform(0.7, 1.2)
    letter, x = ("R", 0.05) if rng.random() < 0.6 else ("L", 0.88)
    _write(image, letter, (x, rng.uniform(0.09, 0.2)), size, float(rng.uniform(0.85, 1.0)))
    if rng.random() < 0.5:
        _write(image, f"SYN {rng.integers(100, 1000)}", (0.72, 0.96), 0.5 * size, 0.9)
    return image


def _write(image: np.ndarray, text: str, at: tuple[float, float], size: float, value: float) -> None:
    rows, columns = image.shape
    origin = (int(at[0] * columns), int(at[1] * rows))
    thickness = max(1, round(2.2 * size))
    canvas = np.zeros((rows, columns), np.uint8)  # OpenCV writes text into bytes only
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (255,), thickness, cv2.LINE_AA)
    np.maximum(image, canvas * np.float32(value / 255.0), out=image)


def _clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth random variation about 0 with ``cells`` bumps a side, (rows, columns) float32."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
