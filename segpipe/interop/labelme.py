"""labelme files for correction by hand, each beside an image that labelme can open, and the way back.

Outlines run halfway between the centres of pixels, so that they follow oblique edges without steps; drawn again by the
rule of :mod:`segpipe.masks.outlines` they give the same pixels. A hole is joined to the outline around it by a line
there and back: what an outline surrounds twice is outside (even-odd rule), and a line that is drawn twice covers no
pixel.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any

import cv2
import numpy as np

from segpipe.config import Classes
from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import write_bytes_if_changed, write_text_if_changed
from segpipe.files.source import read_bytes
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.interop.import_folder import NOTES, Drawn, Record, Target, assignments, own_names, write_folder
from segpipe.log import track
from segpipe.masks.labelme import LabelmeMask, read_labelme
from segpipe.masks.reference import outside_notes

VERSION = "5.5.0"  # of labelme, whose form of the file this is
OURS = "segpipe"  # the key with the path of the image below the root; labelme keeps it and does not read it
FEWEST_POINTS = 3  # of an outline


def export(run: FinishedRun, output: Path, images: Iterable[RunImage], tolerance: float) -> Iterator[Exported]:
    """``<image_id>.json`` and ``<image_id>.png`` for each image, with outlines within ``tolerance`` pixels of the mask.

    A file with another content is left alone: it may hold corrections.
    """
    notes = (f"outlines_within_px:{tolerance:g}",) if tolerance else ()
    for image in images:
        path = output / f"{image.image_id}.json"
        text = labelme_text(run.masks(image), image, label_texts(run.classes), tolerance)
        if path.exists() and path.read_bytes() != text.encode():  # a correction may be in any encoding
            reason = f"{path.name} exists with another content; delete it to export it again"
            yield Exported(image.image_id, reason=reason)
            continue
        try:
            write_bytes_if_changed(path.with_suffix(".png"), run.view(image))
        except ImageError as error:
            yield Exported(image.image_id, reason=f"its image {error}")
            continue
        write_text_if_changed(path, text)
        yield Exported(image.image_id, (path.name,), notes=notes)


def label_texts(classes: Classes) -> dict[str, str]:
    """What shapes of each class are called: the first text that the config gives it, else its name."""
    return {
        name: next((value for value in values or () if isinstance(value, str)), name)
        for name, values in classes.items()
    }


def labelme_text(masks: np.ndarray, image: RunImage, labels: Mapping[str, str], tolerance: float) -> str:
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
        "imagePath": f"{image.image_id}.png",
        "imageData": None,
        "imageHeight": image.rows,
        "imageWidth": image.columns,
        OURS: {"image": image.image},
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def way_back(run: FinishedRun, output: Path) -> str:
    """The command that imports the corrected files."""
    root = run.config.data.root
    classes = " ".join(f"--class {name}={quote(label)}" for name, label in label_texts(run.classes).items())
    folder, corrected = quote(os.fspath(output)), quote(os.fspath(root / f"corrected-{run.config.name}"))
    return (
        f"Correct them with `labelme {folder}`, then\n"
        f"  segpipe import-masks labelme {folder} {corrected} --root {quote(os.fspath(root))} {classes}"
    )


def import_labelme(folder: Path, target: Target, classes: Sequence[str] = (), ignore: Sequence[str] = ()) -> str:
    """Write the masks of the folder's files (``*.json``) into ``target``; return what to tell the user.

    ``classes`` are texts ``NAME=LABEL``; without any, each label of any file is a class, for which all files are read
    once more. Labels in ``ignore`` are left out. A class that a file has no shape of is empty there.

    Raises:
        InputError: there is no such file, or one cannot be used.
    """
    target.relative()  # before the files are read, which may take a while
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(f"{folder} holds no labelme file (*.json).")
    named = assignments(classes, "--class")
    if not named:
        found = {text for path in paths for text in _read(path)[1].shapes}
        named = own_names(sorted(found - set(ignore)), "--class")
    if not named:
        raise InputError(f"{folder}: no file has a shape with an area; name the classes with --class NAME=LABEL.")
    return write_folder(_records(paths, target, named, ignore), target, list(named), [NOTES])


def _records(
    paths: Sequence[Path], target: Target, classes: Mapping[str, list[str]], ignore: Sequence[str]
) -> Iterator[Record]:
    known: set[int | str] = {*ignore, *(text for texts in classes.values() for text in texts)}
    for path in track(paths, len(paths), "import masks"):
        content, mask = _read(path)
        yield Record(_image(path, content, target), str(path), partial(_draw, mask, classes, known))


def _draw(mask: LabelmeMask, classes: Mapping[str, list[str]], known: set[int | str]) -> Drawn:
    planes = {name: mask.plane_of(name, texts, known) for name, texts in classes.items()}
    notes = dict.fromkeys(note for plane in planes.values() for note in plane.notes)
    outside = outside_notes({name: plane.outside for name, plane in planes.items()})
    return {name: plane.pixels for name, plane in planes.items()}, {NOTES: " ".join([*notes, *outside])}


def _read(path: Path) -> tuple[dict[str, Any], LabelmeMask]:
    """A file's content, and its shapes."""
    try:
        data = read_bytes(path)
        mask = read_labelme(data, (0, 0))
        content: dict[str, Any] = json.loads(data)
    except ImageError as error:
        raise InputError(f"{path} {error}.") from None
    if mask.size == (0, 0):
        raise InputError(f"{path} has no imageHeight and imageWidth, so its size is unknown; save it again in labelme.")
    return content, mask


def _image(path: Path, content: Mapping[str, Any], target: Target) -> str:
    """The image's name for :meth:`Target.image_path`: with ``--images`` the file's own, else a path below the root.

    That is what segpipe wrote, or for files of other origin what imagePath leads to.
    """
    if target.images:
        return path.stem
    ours = content.get(OURS)
    if isinstance(ours, dict) and isinstance(ours.get("image"), str):
        return str(ours["image"])
    shown = content.get("imagePath")
    if not isinstance(shown, str) or not shown:
        raise InputError(f"{path} has no imagePath; say with --images where the images are.")
    return Path(os.path.relpath(path.parent / shown.replace("\\", "/"), target.root)).as_posix()


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
        ring = near.astype(np.float64) if len(near) >= FEWEST_POINTS else ring
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
