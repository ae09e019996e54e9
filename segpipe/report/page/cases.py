"""Which images the page shows, and their pictures with masks as outlines."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from segpipe.preprocess.store import unpack_bits

# Masks as outlines: the paths of SVG, which stay sharp at any zoom.

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


# Which images the page shows, and their pictures.

Kind = Literal["worst", "best", "sample"]
KINDS: tuple[Kind, ...] = ("worst", "best", "sample")
LONGEST_SIDE = 512  # pixels
_QUALITY = 80  # of WebP, 0 to 100


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


def choose_shown(table: pd.DataFrame, each: int, seed: int) -> list[tuple[Kind, str]]:
    """Kind and image_id of at most ``each`` images of a kind, none twice, whatever the order of rows.

    The worst and the best of the scored ones by miou, then a sample drawn with ``seed`` from all others that have a
    mask. The worst come first, so that few images show the worst.
    """
    scored = table[table["status"] == "scored"].sort_values(["miou", "image_id"])
    ids = [str(name) for name in scored["image_id"]]
    worst = ids[:each]
    best = ids[len(worst) :][::-1][:each]
    predicted = table.loc[table["status"].isin(["scored", "unlabelled"]), "image_id"].astype(str)
    others = sorted(set(predicted).difference(worst, best))
    drawn = np.random.default_rng(seed).permutation(len(others))[:each]
    sample = [others[index] for index in sorted(drawn)]
    return [(kind, name) for kind, names in zip(KINDS, (worst, best, sample), strict=True) for name in names]


def draw(
    kind: Kind, image_id: str, pictures: tuple[np.ndarray, np.ndarray, np.ndarray], classes: Sequence[str]
) -> Shown:
    """A picture for the page, from image, reference and prediction as the store has them (rows, columns)."""
    image, reference, prediction = pictures
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
