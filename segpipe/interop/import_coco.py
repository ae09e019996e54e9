"""COCO's instances.json: images, categories, and annotations as polygons or run lengths (cocodataset.org)."""

import json
import mmap
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.source import check_size
from segpipe.interop.import_folder import NOTES, Record, own_names
from segpipe.interop.import_rle import from_coco_counts
from segpipe.log import logger, track
from segpipe.masks import labelme as polygons
from segpipe.masks.reference import outside_notes

# Where the elements of a JSON file's top-level lists are, without parsing the file as a whole.

# A string as a whole (without giving back, so that no text makes it slow), or a bracket.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
LARGEST_ELEMENT = 2**26  # bytes
DEEPEST = 100

Span = tuple[int, int]


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The file's bytes, without reading them into memory.

    Raises:
        InputError: it cannot be opened, or is empty.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InputError(f"{path} is empty.") from None


def elements(content: mmap.mmap, path: Path) -> Iterator[tuple[str, Span]]:
    """Every object in a list of the top-level object: the list's key, and where the object lies.

    ``{"images": [{...}, {...}]}`` yields ``("images", span)`` twice. The file is gone through once; memory does
    not grow with it.

    Raises:
        InputError: brackets do not match, or are nested more deeply than any annotation.
    """
    stack: list[bytes] = []
    key, start = b"", 0
    for token in _TOKEN.finditer(content):
        text = token[0] if token.end() - token.start() < 100 else b'"'
        if text.startswith(b'"'):
            if stack == [b"{"]:
                key = text
        elif text in b"[{":
            if text == b"{" and stack == [b"{", b"["]:
                start = token.start()
            stack.append(text)
            if len(stack) > DEEPEST:
                raise InputError(f"{path} is nested so deeply that it is no COCO file.")
        else:
            if not stack or stack.pop() != {b"]": b"[", b"}": b"{"}[text]:
                raise InputError(f"{path} is no valid JSON: a bracket closes at byte {token.start()} that is not open.")
            if text == b"}" and stack == [b"{", b"["]:
                yield key.strip(b'"').decode("utf-8", "replace"), (start, token.end())
    if stack:
        raise InputError(f"{path} ends too early, as an interrupted copy does. Copy it again.")


def element(content: mmap.mmap, span: Span, path: Path) -> dict[str, Any]:
    """Parse one object.

    Raises:
        InputError: it is no valid JSON, or far too large.
    """
    start, end = span
    if end - start > LARGEST_ELEMENT:
        raise InputError(f"{path}: the object at byte {start} has {end - start} bytes, too many for one annotation.")
    try:
        parsed: dict[str, Any] = json.loads(content[start:end])
    except (ValueError, RecursionError):
        raise InputError(f"{path}: the object at byte {start} is no valid JSON. Mend the file.") from None
    return parsed


# COCO's instances.json: images, categories, and annotations as polygons or run lengths (cocodataset.org).


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
