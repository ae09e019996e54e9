"""What ``segpipe import-masks`` does."""

import re
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from segpipe.errors import InputError
from segpipe.interop import import_coco as coco
from segpipe.interop import import_labelme as labelme
from segpipe.interop import import_rle as rle_table
from segpipe.interop.import_folder import NOTES, SHEET, Record, Target, assignments, write_folder
from segpipe.interop.import_rle import RunLengths


def import_coco(path: Path, target: Target, classes: Sequence[str], ignore: Sequence[str]) -> str:
    """Convert a COCO file; return what to tell the user."""
    target.relative()  # or say what is wrong with it before anything is read
    names, records = coco.read_records(path, assignments(classes, "--class"), ignore)
    return _written(records, target, names, [NOTES])


def import_labelme(folder: Path, target: Target, classes: Sequence[str], ignore: Sequence[str]) -> str:
    """Convert a folder of labelme files; return what to tell the user."""
    target.relative()
    names, records = labelme.read_records(folder, target, assignments(classes, "--class"), ignore)
    return _written(records, target, names, [NOTES])


def import_rle(
    path: Path,
    target: Target,
    classes: Sequence[str],
    image_column: str | None,
    carry: Sequence[str],
    size: str | None,
    runs: RunLengths,
) -> str:
    """Convert a CSV; return what to tell the user."""
    target.relative()
    layout = rle_table.find_layout(path, image_column, assignments(classes, "--class"), assignments(carry, "--carry"))
    records = rle_table.read_records(path, layout, runs, _size(size))
    return _written(records, target, list(layout.classes), list(layout.carried))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match:
        raise InputError(f"--size {text!r}: write ROWSxCOLUMNS, as 1024x1024.")
    return int(match[1]), int(match[2])


def _written(records: Generator[Record], target: Target, classes: Sequence[str], carried: Sequence[str]) -> str:
    """Write the folder; the counts, and the config to go on with."""
    with closing(records):  # at once, because reading run lengths changes a limit of the csv module
        done = write_folder(records, target, classes, carried)
    lines = [
        f"{done.images} images, {done.written} mask files written, {done.absent} images not there: {target.output}",
        "",
        "data:",
        f"  root: {target.root.as_posix()}",
        f"  sheet: {target.relative() / SHEET}",
        "classes:",
        *(f"  {name}: null" for name in classes),
    ]
    return "\n".join(lines)
