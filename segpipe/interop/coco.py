"""COCO's instances.json, both ways: images, categories, annotations as polygons or run lengths (cocodataset.org)."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from segpipe import __version__
from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import atomic_path
from segpipe.files.source import check_size, read_bytes
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.interop.import_folder import NOTES, Drawn, Record, Target, assignments, own_names, write_folder
from segpipe.log import logger, track
from segpipe.masks import outlines as polygons
from segpipe.masks import run_lengths
from segpipe.masks.reference import outside_notes

NAME = "instances.json"
LARGEST_FILE = 2**29  # bytes; parsing takes 6 to 8 times as much memory
_IDS = {"images": ["id"], "categories": ["id", "name"], "annotations": ["image_id", "category_id"]}


def export(run: FinishedRun, output: Path, images: Iterable[RunImage]) -> Iterator[Exported]:
    """One file with an annotation per image and class that has pixels.

    It is written image by image, so that memory does not grow with the masks.
    """
    images = list(images)
    with atomic_path(output / NAME) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        _write_lists(file, images, list(run.classes))
        number = 0
        for image_number, image in enumerate(images, start=1):
            for category, mask in enumerate(run.masks(image), start=1):
                if mask.any():
                    found = annotation(mask, number + 1, image_number, category)
                    file.write(f"{',' if number else ''}\n{_line(found)}")
                    number += 1
            yield Exported(image.image_id, (NAME,))
        file.write("\n]}\n")


def annotation(mask: np.ndarray, number: int, image: int, category: int) -> dict[str, Any]:
    """The annotation of ``mask``, (rows, columns) bool with at least one pixel."""
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


def _write_lists(file: TextIO, images: Sequence[RunImage], classes: Sequence[str]) -> None:
    """All that comes before the annotations."""
    file.write(f'{{"info":{_line({"description": "masks predicted by segpipe", "version": __version__})},\n')
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    file.write(f'"categories":{_line(categories)},\n"images":[')
    for number, image in enumerate(images, start=1):
        facts = {"id": number, "file_name": image.image, "height": image.rows, "width": image.columns}
        file.write(f"{',' if number > 1 else ''}\n{_line(facts)}")
    file.write('\n],\n"annotations":[')


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def import_coco(path: Path, target: Target, classes: Sequence[str] = (), ignore: Sequence[str] = ()) -> str:
    """Write the file's masks into ``target``; return what to tell the user.

    ``classes`` are texts ``NAME=CATEGORY``; without any, each category is a class. Categories in ``ignore`` are left
    out.

    Raises:
        InputError: it is not a COCO file, or an annotation cannot be used, or belongs to no class.
    """
    target.relative()  # before the file is read, which may take a while
    content = _read(path)
    categories = {item["id"]: str(item["name"]) for item in content["categories"]}
    named = assignments(classes, "--class") or own_names(
        (name for name in categories.values() if name not in ignore), "--class"
    )
    _check_categories(content["annotations"], categories, named, ignore, path)
    return write_folder(_records(content, categories, named, path), target, list(named), [NOTES])


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The file's lists of images, categories and annotations, each item with its ids.

    Raises:
        InputError: it is not a COCO file, or too large.
    """
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise InputError(
            f"{path} has {path.stat().st_size} bytes, more than the {LARGEST_FILE} that are read at a time. Split it "
            "by its images, and import the parts into folders of their own."
        )
    try:
        content = json.loads(read_bytes(path))
    except ImageError as error:
        raise InputError(f"{path} {error}.") from None
    except RecursionError:
        raise InputError(f"{path} is nested so deeply that it is not a COCO file.") from None
    except ValueError as error:  # tells the position, and nothing of the text
        raise InputError(f"{path} is not valid JSON, or was cut off: {error}. Copy or export it again.") from None
    lists = {key: content.get(key) or [] for key in _IDS} if isinstance(content, dict) else {}
    if not all(isinstance(items, list) for items in lists.values()) or not lists or not lists["images"]:
        raise InputError(f"{path} has no list of images, so it is not a COCO file.")
    for key, items in lists.items():
        for number, item in enumerate(items):
            missing = next((name for name in _IDS[key] if not _is_id(item, name)), None)
            if missing:
                raise InputError(f"{path}: {key}[{number}] lacks {missing!r}. Correct it, or export the file again.")
    return lists


def _is_id(item: object, key: str) -> bool:
    return isinstance(item, dict) and isinstance(item.get(key), int | float | str)


def _check_categories(
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[object, str],
    classes: Mapping[str, list[str]],
    ignore: Sequence[str],
    path: Path,
) -> None:
    known = set(categories.values())
    named = {name for names in classes.values() for name in names}
    missing = [name for name in (*named, *ignore) if name not in known]
    if missing:
        raise InputError(f"{path}: there is no category {missing[0]!r}; there are {', '.join(sorted(known))}.")
    used = Counter(categories.get(annotation["category_id"], "(not listed)") for annotation in annotations)
    left = [f"{name}: {count}" for name, count in used.items() if name not in named | set(ignore)]
    if left:
        raise InputError(
            f"{path}: annotations of categories that no class names ({', '.join(left[:8])}). Name them with --class "
            "NAME=CATEGORY, or leave them out with --ignore CATEGORY."
        )


def _records(
    content: Mapping[str, list[dict[str, Any]]],
    categories: Mapping[object, str],
    classes: Mapping[str, list[str]],
    path: Path,
) -> Iterator[Record]:
    of_image: dict[object, list[dict[str, Any]]] = {item["id"]: [] for item in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in of_image:
            raise InputError(
                f"{path}: the annotation {_short(annotation.get('id'))} is of an image that is not in the list of "
                "images. Export the file again."
            )
        of_image[annotation["image_id"]].append(annotation)
    empty = sum(not annotation.get("segmentation") for annotation in content["annotations"])
    if empty:
        logger.warning("%d annotations have no segmentation (boxes only) and are left out", empty)
    for image in track(content["images"], len(content["images"]), "import masks"):
        where = f"{path}, image {_short(image.get('file_name'))}"
        found = [annotation for annotation in of_image[image["id"]] if annotation.get("segmentation")]
        of_class = {
            name: [annotation for annotation in found if categories.get(annotation["category_id"]) in names]
            for name, names in classes.items()
        }
        yield Record(str(image.get("file_name")), where, partial(_draw, of_class, _shape(image, where)))


def _shape(image: Mapping[str, Any], where: str) -> tuple[int, int]:
    rows, columns = image.get("height"), image.get("width")
    if type(rows) is not int or type(columns) is not int or not isinstance(image.get("file_name"), str):
        raise InputError(
            f"{where}: has no file_name, or a height or width that is no whole number. Correct it, or export the file "
            "again."
        )
    try:
        check_size(rows, columns)
    except ImageError as error:
        raise InputError(f"{where}: {error}.") from None
    return rows, columns


def _draw(of_class: Mapping[str, Sequence[Mapping[str, Any]]], shape: tuple[int, int]) -> Drawn:
    found = {name: _union(annotations, shape) for name, annotations in of_class.items()}
    notes = outside_notes({name: outside for name, (_, outside) in found.items()})
    return {name: plane for name, (plane, _) in found.items()}, {NOTES: " ".join(notes)}


def _union(annotations: Sequence[Mapping[str, Any]], shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The union of annotations, and the share of the outlines' area that lies outside the image."""
    outlines: list[np.ndarray] = []
    plane = np.zeros(shape, np.uint8)
    for annotation in annotations:
        segmentation = annotation["segmentation"]
        try:
            if isinstance(segmentation, dict):
                plane |= from_coco_counts(segmentation.get("counts"), segmentation.get("size"), shape)
            elif isinstance(segmentation, list):
                outlines += [_outline(part) for part in segmentation]
            else:
                raise ImageError("has a segmentation that is neither a list of outlines nor run lengths")
        except ImageError as error:
            raise ImageError(f"the annotation {_short(annotation.get('id'))} {error}") from None
    plane |= polygons.fill(outlines, shape)
    whole = sum(map(polygons.area, outlines))
    inside = sum(polygons.area_inside(outline, shape) for outline in outlines)
    return plane, (whole - inside) / whole if whole else 0.0


def _outline(part: object) -> np.ndarray:
    """COCO writes x1, y1, x2, y2, ... in one list."""
    if not isinstance(part, list) or len(part) % 2:
        raise ImageError("has an outline that is no list of pairs of coordinates")
    return polygons.polygon([part[at : at + 2] for at in range(0, len(part), 2)])


def from_coco_counts(counts: object, size: object, shape: tuple[int, int]) -> np.ndarray:
    """COCO's counts, a list or its compressed text: lengths of runs of 0 and 1 in turn, along columns."""
    pixels = shape[0] * shape[1]
    if not isinstance(size, list) or tuple(size) != shape:
        raise ImageError(f"has run lengths of another size than its image's {shape[0]} x {shape[1]} pixels")
    try:
        runs = run_lengths.counts_of(counts).tolist() if isinstance(counts, str) else counts
    except ValueError as error:
        raise ImageError(f"has {error}") from None
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= pixels for run in runs):
        raise ImageError("has run lengths that are no counts of pixels")
    if sum(runs) != pixels:
        raise ImageError(f"has run lengths for {sum(runs)} pixels and an image of {shape[0]} x {shape[1]}")
    plane = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
    return np.ascontiguousarray(plane.reshape(shape[::-1]).T)


def _short(name: object) -> str:
    return repr(str(name)[:80])
