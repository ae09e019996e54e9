"""labelme files for correction by hand, each beside a picture that labelme can open."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

import numpy as np

from segpipe.config import Classes
from segpipe.errors import ImageError
from segpipe.export_masks.finished import FinishedRun, Picture
from segpipe.export_masks.job import Job, Outcome
from segpipe.export_masks.outlines import outlines
from segpipe.export_masks.view import view
from segpipe.io.atomic import write_bytes_if_changed, write_text_if_changed

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
