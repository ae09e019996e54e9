"""Masks drawn as outlines, with labelme or a tool that writes its JSON, to pixels by the rule of the COCO tools."""

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size, quiet
from segpipe.masks.labels import Label, MaskFile, Plane, quoted

# Outlines to pixels, by the rule of the COCO tools (pycocotools) for every format.
#
# Coordinates are (x, y) in pixels, x to the right, y down; 0 is the left or upper edge of the first pixel,
# so that its centre is at 0.5. The square from (1, 1) to (4, 3) covers columns 1 to 3 and rows 1 to 2. Where an
# outline crosses itself, pixels that it surrounds twice are outside (even-odd rule); several outlines unite.

LARGEST_COORDINATE = 1e6  # pixels; no picture is so wide
LONGEST_OUTLINES = 2_000_000  # pixels of all outlines of a file; drawing takes some 100 bytes for each
CIRCLE_CORNERS = 720  # within 1/50 pixel of a circle of 2,000 pixels radius


def polygon(points: object) -> np.ndarray:
    """Points of a file, [[x, y], ...], as (points, 2) float64; ImageError if they are no outline."""
    try:
        outline = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ImageError("has an outline with points that are not pairs of numbers; draw it again") from None
    if outline.ndim != 2 or outline.shape[1] != 2:
        raise ImageError("has an outline with points that are not pairs of numbers; draw it again")
    if not (np.abs(outline) <= LARGEST_COORDINATE).all():  # false for NaN, too
        raise ImageError(
            f"has an outline with a coordinate that is no number up to {LARGEST_COORDINATE:.0f} pixels; draw it again"
        )
    return outline


def rectangle(corners: object) -> np.ndarray:
    """The outline of a rectangle given by two opposite corners, or by four."""
    points = polygon(corners)
    if len(points) == 4:
        return points
    if len(points) != 2:
        raise ImageError(f"has a rectangle with {len(points)} corners instead of 2 or 4; draw it again")
    (left, top), (right, bottom) = points
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def circle(points: object) -> np.ndarray:
    """The outline of a circle given by its centre and a point on it."""
    pair = polygon(points)
    if len(pair) != 2:
        raise ImageError(f"has a circle with {len(pair)} points instead of centre and edge; draw it again")
    angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
    outline: np.ndarray = pair[0] + math.dist(*pair) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return outline


def fill(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels that outlines enclose, cut off at the picture's edges: ``shape`` uint8 of 0 and 1."""
    from pycocotools import mask as coco

    rows, columns = shape
    # the time that drawing takes grows with what lies outside; what is near is left to the COCO tools as it is
    near = [cut(outline, (-float(columns), -float(rows)), (2.0 * columns, 2.0 * rows)) for outline in outlines]
    near = [outline for outline in near if len(outline) > 2]
    if not near:
        return np.zeros(shape, np.uint8)
    length = sum(float(np.abs(np.diff(outline, axis=0)).max(axis=1).sum()) for outline in near)
    if length > LONGEST_OUTLINES:
        raise ImageError(
            f"has outlines of {length:.0f} pixels length, more than the {LONGEST_OUTLINES} that are drawn; "
            "they were not drawn by hand"
        )
    with quiet():  # pycocotools warns of what it does itself
        drawn = coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in near], rows, columns))
        plane: np.ndarray = np.ascontiguousarray(coco.decode(drawn))
    return plane


def cut(outline: np.ndarray, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
    """The part of an outline within a box, closed along the box's edges (Sutherland and Hodgman 1974)."""
    for axis in (0, 1):
        for sign, limit in ((1.0, low[axis]), (-1.0, high[axis])):
            inside = sign * (outline[:, axis] - limit)
            if len(outline) == 0 or (inside >= 0).all():
                continue
            before, start = np.roll(inside, 1), np.roll(outline, 1, axis=0)
            crosses = (inside >= 0) != (before >= 0)
            share = np.divide(before, before - inside, out=np.zeros_like(inside), where=crosses)
            crossing = start + share[:, None] * (outline - start)
            crossing[:, axis] = limit
            both = np.stack([crossing, outline], axis=1).reshape(-1, 2)
            outline = both[np.stack([crosses, inside >= 0], axis=1).ravel()]
    return outline


def area(outline: np.ndarray) -> float:
    """Area in square pixels; of an outline that crosses itself, the difference of its parts."""
    if len(outline) == 0:
        return 0.0
    (x, y), (next_x, next_y) = outline.T, np.roll(outline, -1, axis=0).T
    return abs(float((x * next_y - next_x * y).sum())) / 2


def area_inside(outline: np.ndarray, shape: tuple[int, int]) -> float:
    """The area of the part within a picture of (rows, columns)."""
    return area(cut(outline, (0.0, 0.0), (float(shape[1]), float(shape[0]))))


# Masks drawn with labelme or a tool that writes its JSON: one file for each image, shapes with labels.

MAX_SHAPES = 10_000
MAX_JSON_BYTES = 2**28  # without the copy of the image
MAX_JSON_PARTS = 5_000_000  # commas and brackets; each may cost a hundred bytes
OUTLINES = {
    "polygon": polygon,
    "rotation": polygon,
    "rectangle": rectangle,
    "circle": circle,
}
WITHOUT_AREA = ("point", "points", "line", "linestrip", "lines")
_IMAGE_DATA = re.compile(rb'"imageData"\s*:\s*"[^"]*"')  # base64 has no quotes


class LabelmeMask(MaskFile):
    """Shapes by label; they may overlap."""

    names = (str,)
    kind = "labelme file"

    def __init__(self, shapes: dict[str, list[dict[str, Any]]], size: tuple[int, int], ignored: int) -> None:
        self.shapes, self.size, self.ignored = shapes, size, ignored

    def labels(self) -> list[Label]:
        return [Label(frozenset([text]), quoted(text)) for text in sorted(self.shapes)]

    def plane(self, wanted: Sequence[Label]) -> Plane:
        """The union of the wanted labels' shapes, without what lies outside the picture."""
        shapes = [shape for label in wanted for text in label.names for shape in self.shapes[str(text)]]
        outlines = [OUTLINES[kind](shape.get("points")) for shape in shapes if (kind := _kind(shape)) in OUTLINES]
        pixels = fill(outlines, self.size)
        whole = sum(map(area, outlines))
        outside = whole - sum(area_inside(outline, self.size) for outline in outlines)
        for shape in shapes:
            if _kind(shape) == "mask":
                drawn, beside = _paste(pixels, shape)
                whole, outside = whole + drawn, outside + beside
        notes = (f"mask_shapes_without_area:{self.ignored}",) if self.ignored else ()
        return Plane(pixels, notes, outside / whole if whole else 0.0)


def read_labelme(data: bytes, shape: tuple[int, int]) -> LabelmeMask:
    """Parse a labelme file; ``shape`` is the image's (rows, columns), for files that do not say theirs.

    The copy of the image in it (imageData) is passed over, and the image's path is never followed.
    """
    content = _parse(data)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        if isinstance(content, dict) and "annotations" in content:
            raise ImageError(
                "is a COCO file, which holds the masks of a whole set; convert it once with "
                "`segpipe import-masks coco`, and use the sheet that this writes"
            )
        raise ImageError("is a JSON file without the list of shapes that labelme writes; export it as PNG")
    if len(content["shapes"]) > MAX_SHAPES:
        raise ImageError(f"has {len(content['shapes'])} shapes, more than the {MAX_SHAPES} that are drawn")
    shapes: dict[str, list[dict[str, Any]]] = {}
    ignored = 0
    for item in content["shapes"]:
        if not isinstance(item, dict) or not isinstance(item.get("label"), str):
            raise ImageError("has a shape without a label; label it in the tool that drew it")
        if _kind(item) in WITHOUT_AREA:
            ignored += 1
        else:
            shapes.setdefault(item["label"], []).append(item)
    return LabelmeMask(shapes, _size(content, shape), ignored)


def _parse(data: bytes) -> Any:
    data = _IMAGE_DATA.sub(b'"imageData":null', data)
    parts = sum(map(data.count, (b",", b"[", b"{")))
    if len(data) > MAX_JSON_BYTES or parts > MAX_JSON_PARTS:
        raise ImageError(f"is a JSON file of {len(data)} bytes and {parts} parts, too large for one image's outlines")
    try:
        return json.loads(data)
    except RecursionError:
        raise ImageError(
            "is a JSON file nested so deeply that it cannot be parsed; no annotation tool does so"
        ) from None
    except (ValueError, UnicodeDecodeError):
        raise ImageError("is a JSON file with a syntax error, or cut off; save it again") from None


def _kind(shape: dict[str, Any]) -> str:
    """The shape's type; ImageError for those that are not known."""
    kind = shape.get("shape_type") or "polygon"  # the first versions had polygons only
    if kind in OUTLINES or kind == "mask" or kind in WITHOUT_AREA:
        return str(kind)
    raise ImageError(
        f"has a shape of a type that is not read ({quoted(str(kind))}); "
        f"draw it as {', '.join(OUTLINES)} or mask, or export the mask as PNG"
    )


def _size(content: dict[str, Any], shape: tuple[int, int]) -> tuple[int, int]:
    sizes = content.get("imageHeight"), content.get("imageWidth")
    if sizes == (None, None):
        return shape
    rows, columns = sizes
    if type(rows) is not int or type(columns) is not int:
        raise ImageError("has an imageHeight or imageWidth that is no whole number; save it again")
    check_size(rows, columns)
    return rows, columns


def _paste(plane: np.ndarray, shape: dict[str, Any]) -> tuple[int, int]:
    """Add a shape's own bit map in place; return its number of pixels, and how many of them lie outside."""
    from segpipe.masks.picture import picture_from_raster

    corner = polygon(shape.get("points"))
    try:
        content = base64.b64decode(shape.get("mask") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        content = b""
    if len(corner) != 2 or not content.startswith(b"\x89PNG"):
        raise ImageError(
            "has a shape of type mask without its bit map (a PNG in base64 and two corners); save it again"
        )
    bits = picture_from_raster(content, "PNG").numbers > 0
    (left, top), (right, bottom) = np.rint(corner).astype(int)
    if bits.shape != (bottom - top + 1, right - left + 1):
        raise ImageError(
            f"has a shape of type mask with {bits.shape[0]} x {bits.shape[1]} pixels for a box of "
            f"{bottom - top + 1} x {right - left + 1}; save it again"
        )
    rows, columns = plane.shape
    inner = bits[max(0, -top) : max(0, rows - top), max(0, -left) : max(0, columns - left)]
    if inner.size:
        y, x = max(0, top), max(0, left)
        plane[y : y + inner.shape[0], x : x + inner.shape[1]] |= inner
    pixels = int(bits.sum())
    return pixels, pixels - int(inner.sum())
