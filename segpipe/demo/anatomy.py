"""One invented thorax: outlines and curves in body coordinates.

Body coordinates: x grows to the right of the image (the patient's left), y grows downwards, the origin lies on the
spine at the height of the lung roots and 1 is half the inner width of the chest.
"""

from dataclasses import dataclass

import numpy as np

Points = np.ndarray  # (n, 2) float64, columns x and y


def _points(text: str) -> Points:
    """(n, 2) float64 from "x,y x,y ..."."""
    return np.array([pair.split(",") for pair in text.split()], dtype=np.float64)


# The average thorax. Paired parts are those on the left of the image, the patient's right.
# From the apex down the chest wall, along the diaphragm (DIAPHRAGM) and up beside the spine.
LUNG = _points(
    "-0.42,-1.00 -0.62,-0.90 -0.78,-0.62 -0.88,-0.20 -0.93,0.25 -0.96,0.62 -0.96,0.92 "
    "-0.80,0.72 -0.55,0.60 -0.32,0.63 -0.16,0.76 -0.14,0.40 -0.16,0.00 -0.17,-0.40 "
    "-0.20,-0.80 -0.28,-0.96"
)
DIAPHRAGM = slice(6, 11)
HEART = _points(
    "-0.12,-0.20 -0.24,0.05 -0.30,0.30 -0.27,0.54 -0.12,0.68 0.15,0.76 0.42,0.77 "
    "0.60,0.67 0.58,0.46 0.44,0.18 0.26,-0.05 0.12,-0.20"
)
MEDIASTINUM = _points(
    "-0.15,-1.60 -0.17,-1.00 -0.20,-0.55 -0.22,-0.10 -0.20,0.35 0.20,0.35 0.24,-0.05 "
    "0.19,-0.20 0.30,-0.36 0.27,-0.48 0.16,-0.60 0.17,-1.00 0.15,-1.60"
)
HALF_BODY = _points(
    "-0.28,-2.60 -0.32,-1.45 -0.80,-1.22 -1.35,-1.08 -1.80,-0.70 -2.00,0.60 -1.50,0.40 "
    "-1.24,-0.15 -1.17,0.30 -1.16,0.90 -1.22,2.60"
)
SCAPULA = _points("-0.86,-0.92 -1.18,-0.86 -1.22,-0.62 -1.04,0.05 -0.94,-0.05")
# A curve from the breastbone to the shoulder.
CLAVICLE = _points("-0.10,-0.70 -0.30,-0.74 -0.60,-0.90 -0.90,-0.98 -1.15,-0.98")
BREAST = _points("-0.95,0.30 -0.60,0.15 -0.28,0.35 -0.35,0.72 -0.70,0.85 -1.02,0.68")


@dataclass(frozen=True)
class Anatomy:
    """Outlines (closed, smoothed) and curves (open) in body coordinates."""

    body: Points
    lungs: tuple[Points, Points]  # right (left in the image), left
    heart: Points
    mediastinum: Points
    scapulae: tuple[Points, Points]
    breasts: tuple[Points, ...]  # empty, or one on each side
    stomach_bubble: Points
    clavicles: tuple[Points, Points]
    ribs: tuple[Points, ...]  # from the spine round the chest wall to the front end
    vertebrae: tuple[Points, ...]
    vessels: tuple[Points, ...]  # from the lung roots outwards
    density: float  # soft tissue relative to the average patient


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one patient from the generator."""
    height = rng.uniform(0.90, 1.10)
    right, left = _lung(rng, height), _mirror(_lung(rng, height))
    left[DIAPHRAGM, 1] += rng.uniform(0.02, 0.10)  # the left dome stands lower, the liver lifts the right
    breasts = (BREAST, _mirror(BREAST)) if rng.random() < 0.35 else ()
    return Anatomy(
        body=smooth(_body(rng)),
        lungs=(smooth(right), smooth(left)),
        heart=smooth(_heart(rng, height)),
        mediastinum=smooth(_vary(rng, MEDIASTINUM, 0.015)),
        scapulae=(smooth(SCAPULA), smooth(_mirror(SCAPULA))),
        breasts=tuple(smooth(_vary(rng, outline, 0.03)) for outline in breasts),
        stomach_bubble=_ellipse(rng.uniform(0.3, 0.6), 0.98 * height, 0.18, rng.uniform(0.04, 0.10)),
        clavicles=_clavicles(rng),
        ribs=_ribs(rng, height),
        vertebrae=tuple(_ellipse(0.0, y, 0.105, 0.062) for y in np.arange(-1.9, 2.2, 0.16)),
        vessels=_vessels(rng, height),
        density=rng.uniform(0.75, 1.25),
    )


def smooth(outline: Points) -> Points:
    """Round the corners of a closed outline (Chaikin 1974: cut every corner at a quarter)."""
    for _ in range(4):
        after = np.roll(outline, -1, axis=0)
        cuts = [0.75 * outline + 0.25 * after, 0.25 * outline + 0.75 * after]
        outline = np.stack(cuts, axis=1).reshape(-1, 2)
    return outline


def _mirror(points: Points) -> Points:
    return np.asarray(points * np.array([-1.0, 1.0]))


def _vary(rng: np.random.Generator, points: Points, amount: float) -> Points:
    return np.asarray(points + rng.normal(0.0, amount, points.shape))


def _lung(rng: np.random.Generator, height: float) -> Points:
    outline = np.asarray(_vary(rng, LUNG, 0.018) * np.array([1.0, height]))
    outline[DIAPHRAGM, 1] += rng.uniform(-0.10, 0.12)
    return outline


def _heart(rng: np.random.Generator, height: float) -> Points:
    size = np.array([rng.uniform(0.85, 1.25), rng.uniform(0.90, 1.12)])
    foot = np.array([0.10, 0.76])  # the heart rests on the diaphragm and grows upwards
    return np.asarray((_vary(rng, HEART, 0.015) - foot) * size + foot * np.array([1.0, height]))


def _body(rng: np.random.Generator) -> Points:
    half = _vary(rng, HALF_BODY, 0.02) - (rng.uniform(0.0, 0.12), 0.0)
    return np.concatenate([half, _mirror(half)[::-1]])


def _ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Points:
    angle = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)


def _clavicles(rng: np.random.Generator) -> tuple[Points, Points]:
    lift = rng.uniform(-0.08, 0.06)
    curve = _open_curve(CLAVICLE + np.linspace((0.0, 0.0), (0.0, lift), len(CLAVICLE)))
    return curve, _mirror(curve)


def _open_curve(knots: Points) -> Points:
    """A smooth curve near the knots: a cubic by least squares, which does not wiggle."""
    t, fine = np.linspace(0.0, 1.0, len(knots)), np.linspace(0.0, 1.0, 40)
    return np.stack([np.polyval(np.polyfit(t, knots[:, axis], 3), fine) for axis in (0, 1)], axis=1)


def _ribs(rng: np.random.Generator, height: float) -> tuple[Points, ...]:
    """Ten pairs: an arc leaves the spine, turns at the chest wall (90 degrees) and comes back in front."""
    first, step, slope = rng.uniform(-1.02, -0.94), rng.uniform(0.165, 0.19), rng.uniform(0.85, 1.15)
    angle = np.linspace(0.06, np.pi * 0.80, 60)
    curves = []
    for level in range(10):
        width = (0.99 - 0.52 * np.exp(-level / 1.6)) * rng.uniform(0.98, 1.02)
        drop = slope * (0.16 + 0.035 * level)
        y = height * (first + step * level) + drop * (1.0 - np.cos(angle)) - 0.05 * np.sin(2.0 * angle)
        curve = np.stack([-width * np.sin(angle), y], axis=1)
        curves += [curve, _mirror(curve)]
    return tuple(curves)


def _vessels(rng: np.random.Generator, height: float) -> tuple[Points, ...]:
    """Wavy branches from both lung roots, each with one twig; the renderer tapers them."""
    curves = []
    for side in (-1.0, 1.0):
        for direction in np.linspace(-1.25, 1.35, 13) + rng.normal(0.0, 0.06, 13):
            start = np.array([side * 0.20, 0.02 * height])
            trunk = _branch(rng, start, side, direction, rng.uniform(0.35, 0.75))
            fork = direction + rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.6)
            curves += [trunk, _branch(rng, trunk[len(trunk) // 2], side, fork, rng.uniform(0.15, 0.35))]
    return tuple(curves)


def _branch(rng: np.random.Generator, start: Points, side: float, direction: float, length: float) -> Points:
    along = np.linspace(0.0, length, 14)[:, None]
    bend = direction + rng.uniform(-0.5, 0.5) * along
    return np.asarray(start + along * np.concatenate([side * np.cos(bend), np.sin(bend)], axis=1))
