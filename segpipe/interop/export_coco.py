"""COCO's instances.json with compressed run lengths: one annotation per image and class that has pixels."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from segpipe import __version__
from segpipe.files.atomic import atomic_path
from segpipe.interop.finished_run import Job, Outcome, Picture
from segpipe.masks import run_lengths

NAME = "instances.json"


def write(job: Job, pictures: Iterable[Picture]) -> Iterator[Outcome]:
    """One file, written image by image, so that memory does not grow with the masks."""
    pictures = list(pictures)
    with atomic_path(job.output / NAME) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        _start(file, pictures, list(job.run.classes))
        number = 0
        for image, picture in enumerate(pictures, start=1):
            for category, mask in enumerate(job.run.masks(picture), start=1):
                if mask.any():
                    file.write(f"{',' if number else ''}\n{_line(annotation(mask, number + 1, image, category))}")
                    number += 1
            yield Outcome(picture.image_id, (NAME,))
        file.write("\n]}\n")


def annotation(mask: np.ndarray, number: int, image: int, category: int) -> dict[str, Any]:
    """What COCO says of ``mask`` (rows, columns) bool, which has pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": list(mask.shape), "counts": run_lengths.encode(mask)},
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
    }


def _start(file: TextIO, pictures: Sequence[Picture], classes: Sequence[str]) -> None:
    file.write(f'{{"info":{_line({"description": "masks predicted by segpipe", "version": __version__})},\n')
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    file.write(f'"categories":{_line(categories)},\n"images":[')
    for number, picture in enumerate(pictures, start=1):
        image = {"id": number, "file_name": picture.image, "height": picture.rows, "width": picture.columns}
        file.write(f"{',' if number > 1 else ''}\n{_line(image)}")
    file.write('\n],\n"annotations":[')


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
