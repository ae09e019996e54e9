"""labelme files for correction by hand, each beside a picture that labelme can open."""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from shlex import quote

import cv2
import numpy as np

from segpipe.config import Classes
from segpipe.errors import ImageError
from segpipe.files.atomic import write_bytes_if_changed, write_text_if_changed
from segpipe.interop.finished_run import FinishedRun, Job, Outcome, Picture, view

# Masks to closed outlines that give back the same pixels, by the rule of :mod:`segpipe.masks.labelme`.
#
# Outlines run halfway between the centres of pixels, so that they follow oblique edges without steps. A hole is joined
# to
# the outline around it by a line there and back: what an outline surrounds twice is outside (even-odd rule), and a line
# that is drawn twice covers no pixel.

LEAST = 3  # corners of an outline


def outlines(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """Outlines of ``mask`` (rows, columns) bool: float64 (points, 2) of x and y, one for each piece.

    Points closer than ``tolerance`` pixels to the line of their neighbours are left out; with 0 only those on it
    are, and no pixel changes.
    """
    if not mask.any():
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    corner = np.array([left - 0.5, top - 0.5])  # where the centre of the padding's first pixel lies
    return [_joined([_thinned(ring, tolerance) for ring in piece]) + corner for piece in _pieces(part)]


def _pieces(part: np.ndarray) -> list[list[np.ndarray]]:
    """For each piece its outline and then those of its holes, through the middle between unlike pixels."""
    from contourpy import FillType, contour_generator

    lines = contour_generator(z=part.astype(np.float64), fill_type=FillType.OuterOffset)
    points, offsets = lines.filled(0.5, 2.0)
    return [
        [each[start : end - 1] for start, end in pairwise(ends)]  # the last point is the first
        for each, ends in zip(points, offsets, strict=True)
    ]


def _thinned(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Without points on a straight line, and with ``tolerance`` without those near one (Douglas and Peucker 1973)."""
    ahead, behind = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
    ring = ring[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]
    if tolerance > 0:
        near = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True)[:, 0]
        ring = near.astype(np.float64) if len(near) >= LEAST else ring
    return ring


def _joined(rings: list[np.ndarray]) -> np.ndarray:
    """One closed line of an outline and its holes."""
    whole = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: (ring[:, 0].min(), ring[:, 1].min())):
        start = int(hole[:, 0].argmin())
        at = int(((whole - hole[start]) ** 2).sum(axis=1).argmin())
        around = np.concatenate([hole[start:], hole[: start + 1]])
        whole = np.concatenate([whole[: at + 1], around, whole[at:]])
    return whole


# labelme files for correction by hand, each beside a picture that labelme can open.

VERSION = "5.5.0"  # of labelme, whose form of the file this is
OURS = "segpipe"  # the key with what labelme keeps and does not read


def write(job: Job, pictures: Iterable[Picture]) -> Iterator[Outcome]:
    """``<image_id>.json`` and ``<image_id>.png`` for each picture.

    A file that says something else is left alone: it may hold corrections.
    """
    for picture in pictures:
        path = job.output / f"{picture.image_id}.json"
        text = labelme_text(job.run.masks(picture), picture, label_texts(job.run.classes), job.tolerance)
        if path.exists() and path.read_bytes() != text.encode():  # a correction may be in any encoding
            yield Outcome(picture.image_id, reason=f"{path.name} is there and differs; delete it to get it anew")
            continue
        try:
            write_bytes_if_changed(path.with_suffix(".png"), view(job.run, picture))
        except ImageError as error:
            yield Outcome(picture.image_id, reason=f"its picture {error}")
            continue
        write_text_if_changed(path, text)
        notes = (f"outlines_within_px:{job.tolerance:g}",) if job.tolerance else ()
        yield Outcome(picture.image_id, (path.name,), notes=notes)


def label_texts(classes: Classes) -> dict[str, str]:
    """What shapes of each class are called: the first text that the config gives it, else its name."""
    return {
        name: next((value for value in values or () if isinstance(value, str)), name)
        for name, values in classes.items()
    }


def labelme_text(masks: np.ndarray, picture: Picture, labels: dict[str, str], tolerance: float) -> str:
    """The file's text for ``masks`` (classes, rows, columns) bool."""
    shapes = [
        {
            "label": label,
            "points": outline.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for label, mask in zip(labels.values(), masks, strict=True)
        for outline in outlines(mask, tolerance)
    ]
    content = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{picture.image_id}.png",
        "imageData": None,
        "imageHeight": picture.rows,
        "imageWidth": picture.columns,
        OURS: {"image": picture.image},  # for the way back; labelme saves what it does not know
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def way_back(run: FinishedRun, output: Path) -> str:
    """The command that imports the corrected files."""
    folder, root = quote(os.fspath(output)), run.root
    classes = " ".join(f"--class {name}={quote(label)}" for name, label in label_texts(run.classes).items())
    corrected = quote(os.fspath(root / f"corrected-{run.config.name}"))
    return (
        f"Correct them with `labelme {folder}`, then\n"
        f"  segpipe import-masks labelme {folder} {corrected} --root {quote(os.fspath(root))} {classes}"
    )
