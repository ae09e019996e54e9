"""COCO's instances.json: images, categories, and annotations as polygons or run lengths (cocodataset.org)."""

import mmap
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.import_masks.folder import NOTES, Record
from segpipe.import_masks.json_spans import Span, element, elements, mapped
from segpipe.import_masks.names import own_names
from segpipe.import_masks.run_lengths import from_coco_counts
from segpipe.io.masks import polygons
from segpipe.io.masks.reference import outside_notes
from segpipe.io.source import check_size
from segpipe.log import logger, track


@dataclass
class Index:
    """What a file holds: images and categories by id, and where each image's annotations lie."""

    images: dict[object, dict[str, Any]] = field(default_factory=dict)
    categories: dict[object, str] = field(default_factory=dict)
    annotations: dict[object, list[Span]] = field(default_factory=dict)
    used: Counter[object] = field(default_factory=Counter)  # category id -> annotations


def read_records(
    path: Path, classes: Mapping[str, list[str]], ignore: Sequence[str] = ()
) -> tuple[list[str], Generator[Record]]:
    """The names of the classes, and the images of the file one by one.

    ``classes`` gives each class its categories; empty, each category is a class. Categories in ``ignore`` are
    left out. Memory grows with the number of annotations, not with their outlines.

    Raises:
        InputError: the file is no COCO file, or has annotations of a category that no class names.
    """
    with mapped(path) as content:
        index = _index(content, path)
    classes = classes or own_names((name for name in index.categories.values() if name not in ignore), "--class")
    _check_categories(index, classes, ignore, path)
    return list(classes), _records(path, index, classes)


def _index(content: mmap.mmap, path: Path) -> Index:
    index = Index()
    for key, span in elements(content, path):
        if key not in ("images", "categories", "annotations"):
            continue
        found = element(content, span, path)
        try:
            if key == "categories":
                index.categories[found["id"]] = str(found["name"])
            elif key == "images":
                index.images[found["id"]] = {name: found.get(name) for name in ("file_name", "height", "width")}
            else:
                index.annotations.setdefault(found["image_id"], []).append(span)
                index.used[found["category_id"]] += 1
        except (KeyError, TypeError):  # TypeError: an id that is a list
            raise InputError(f"{path}: the object at byte {span[0]}, of {key}, lacks an id or name.") from None
    if not index.images or not index.categories:
        raise InputError(f"{path} has no list of images or of categories, so it is no COCO file.")
    unknown = index.annotations.keys() - index.images.keys()
    if unknown:
        raise InputError(f"{path}: {len(unknown)} ids of images have annotations, but are not in the list of images.")
    return index


def _check_categories(index: Index, classes: Mapping[str, list[str]], ignore: Sequence[str], path: Path) -> None:
    there = set(index.categories.values())
    named = {name for names in classes.values() for name in names}
    missing = [name for name in (*named, *ignore) if name not in there]
    if missing:
        raise InputError(f"{path}: there is no category {missing[0]!r}; there are {', '.join(sorted(there))}.")
    left = [key for key in index.used if index.categories.get(key) not in named | set(ignore)]
    if left:
        counts = ", ".join(f"{index.categories.get(key, '(not listed)')}: {index.used[key]}" for key in left[:8])
        raise InputError(
            f"{path}: annotations of categories that no class names ({counts}). Name them with --class NAME=CATEGORY, "
            "or leave them out with --ignore CATEGORY."
        )


def _records(path: Path, index: Index, classes: Mapping[str, list[str]]) -> Generator[Record]:
    empty = 0
    with mapped(path) as content:
        for key, image in track(index.images.items(), len(index.images), "import masks"):
            where = f"{path}, image {_short(image['file_name'])}"
            shape = _shape(image, where)
            parts: dict[str, list[object]] = {name: [] for name in classes}
            for span in index.annotations.get(key, ()):
                annotation = element(content, span, path)
                category = index.categories.get(annotation["category_id"], "")
                wanted = [name for name, names in classes.items() if category in names]
                if wanted and not annotation.get("segmentation"):
                    empty += 1
                    continue
                for name in wanted:
                    parts[name].append(annotation["segmentation"])
            notes: dict[str, str] = {}

            def planes(
                parts: dict[str, list[object]] = parts,
                shape: tuple[int, int] = shape,
                notes: dict[str, str] = notes,
            ) -> dict[str, np.ndarray]:
                drawn = {name: _drawn(found, shape) for name, found in parts.items()}
                notes[NOTES] = " ".join(outside_notes({name: outside for name, (_, outside) in drawn.items()}))
                return {name: plane for name, (plane, _) in drawn.items()}

            yield Record(str(image["file_name"]), where, planes, notes)
    if empty:
        logger.warning("%d annotations have no segmentation (boxes only) and were left out", empty)


def _shape(image: Mapping[str, Any], where: str) -> tuple[int, int]:
    rows, columns = image["height"], image["width"]
    if type(rows) is not int or type(columns) is not int or not isinstance(image["file_name"], str):
        raise InputError(f"{where}: has no file_name, or a height or width that is no whole number. Mend the file.")
    try:
        check_size(rows, columns)
    except ImageError as error:
        raise InputError(f"{where}: {error}.") from None
    return rows, columns


def _drawn(segmentations: Sequence[object], shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The union of annotations, and the share of the outlines' area that lies outside the picture."""
    outlines: list[np.ndarray] = []
    plane = np.zeros(shape, np.uint8)
    for segmentation in segmentations:
        if isinstance(segmentation, dict):
            plane |= from_coco_counts(segmentation.get("counts"), segmentation.get("size"), shape)
        elif isinstance(segmentation, list):
            outlines += [_outline(part) for part in segmentation]
        else:
            raise ImageError("has a segmentation that is neither a list of outlines nor run lengths")
    plane |= polygons.fill(outlines, shape)
    whole = sum(map(polygons.area, outlines))
    inside = sum(polygons.area_inside(outline, shape) for outline in outlines)
    return plane, (whole - inside) / whole if whole else 0.0


def _outline(part: object) -> np.ndarray:
    """COCO writes x1, y1, x2, y2, ... in one list."""
    if not isinstance(part, list) or len(part) % 2:
        raise ImageError("has an outline that is no list of pairs of coordinates")
    return polygons.polygon([part[at : at + 2] for at in range(0, len(part), 2)])


def _short(name: object) -> str:
    return repr(str(name)[:80])
