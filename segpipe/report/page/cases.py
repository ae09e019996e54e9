"""The pictures of the page: WebP, and masks as paths of SVG, which stay sharp at any zoom."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from segpipe.preprocess.store import unpack_bits
from segpipe.report.cases import Kind, Layers

LONGEST_SIDE = 512  # pixels
_QUALITY = 80  # of WebP, 0 to 100
_FINER = 2  # outlines run through the middles of pixels of this many times the resolution
_TOLERANCE = 0.5  # pixels that the simplified outline may be off: stairs of a slanted edge become a line


def outline(mask: np.ndarray) -> str:
    """A 0/1 mask (rows, columns) as the ``d`` of an SVG path; filled by the even-odd rule it is the mask.

    Units are pixels, (0, 0) is the upper left corner. Blank for an empty mask.
    """
    fine = cv2.resize(mask.astype(np.uint8), None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return "".join(_path(contour) for contour in contours)


def _path(contour: np.ndarray) -> str:
    """A closed path from a contour of the finer grid, int (n, 1, 2) of columns and rows."""
    points = cv2.approxPolyDP(contour, _TOLERANCE * _FINER, True)
    points = (points if len(points) > 2 else contour)[:, 0]
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in ((points + 0.5) / _FINER).tolist()) + "Z"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Shown:
    """One picture of the page; ``image`` is WebP in base64, the outlines are one SVG path per class."""

    kind: Kind
    image_id: str
    columns: int
    rows: int
    image: str
    reference: list[str]
    prediction: list[str]


def draw(kind: Kind, image_id: str, layers: Layers, classes: Sequence[str]) -> Shown:
    """A picture for the page."""
    image, reference, prediction = layers
    small = _shrunk(image, cv2.INTER_AREA)
    rows, columns = small.shape
    paths = [
        [outline(_shrunk(mask, cv2.INTER_NEAREST)) for mask in unpack_bits(np.ascontiguousarray(bits), len(classes))]
        for bits in (reference, prediction)
    ]
    return Shown(kind, image_id, columns, rows, _webp(small), *paths)


def _webp(image: np.ndarray) -> str:
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError("OpenCV cannot write WebP")
    return base64.b64encode(data.tobytes()).decode()


def _shrunk(picture: np.ndarray, how: int) -> np.ndarray:
    rows, columns = picture.shape
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    if scale == 1.0:
        return np.ascontiguousarray(picture)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=how))
