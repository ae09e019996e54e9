"""A folder of labelme files, as `segpipe export-masks --format labelme` writes them and people correct them."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.source import read_bytes
from segpipe.interop.import_folder import NOTES, Record, Target, own_names
from segpipe.log import track
from segpipe.masks.labelme import LabelmeMask, read_labelme
from segpipe.masks.reference import outside_notes

OURS = "segpipe"  # the key with the path of the image below the root


def read_records(
    folder: Path, target: Target, classes: Mapping[str, list[str]], ignore: Sequence[str] = ()
) -> tuple[list[str], Generator[Record]]:
    """The names of the classes, and the files of the folder one by one, each the masks of one image.

    ``classes`` gives each class its labels; empty, each label of any file is a class, for which all files are read
    once more. Labels in ``ignore`` are left out. A class that a file has no shape of is empty there.

    Raises:
        InputError: there is no such file, or one cannot be read.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(f"{folder} holds no labelme file (*.json).")
    if not classes:
        found = {text for path in paths for text in _read(path)[1].shapes}
        classes = own_names(sorted(found - set(ignore)), "--class")
    if not classes:
        raise InputError(f"{folder}: no file has a shape with an area; name the classes with --class NAME=LABEL.")
    return list(classes), _records(paths, target, classes, ignore)


def _records(
    paths: Sequence[Path], target: Target, classes: Mapping[str, list[str]], ignore: Sequence[str]
) -> Generator[Record]:
    named: set[int | str] = {*ignore, *(text for texts in classes.values() for text in texts)}
    for path in track(paths, len(paths), "import masks"):
        content, mask = _read(path)
        notes: dict[str, str] = {}

        def planes(mask: LabelmeMask = mask, notes: dict[str, str] = notes) -> dict[str, np.ndarray]:
            drawn = {name: mask.plane_of(name, texts, named) for name, texts in classes.items()}
            found = dict.fromkeys(note for plane in drawn.values() for note in plane.notes)
            notes[NOTES] = " ".join([*found, *outside_notes({name: plane.outside for name, plane in drawn.items()})])
            return {name: plane.pixels for name, plane in drawn.items()}

        yield Record(_image(path, content, target), str(path), planes, notes)


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
