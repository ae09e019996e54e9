"""Masks drawn with labelme, or a tool that writes its JSON: one file for each image, shapes with labels."""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.masks.mask_file import Label, MaskFile, Plane, image_from_raster, quoted
from segpipe.masks.outlines import area, area_inside, circle, fill, polygon, rectangle

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
        """The union of the wanted labels' shapes, without what lies outside the image."""
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
    corner = polygon(shape.get("points"))
    try:
        content = base64.b64decode(shape.get("mask") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        content = b""
    if len(corner) != 2 or not content.startswith(b"\x89PNG"):
        raise ImageError(
            "has a shape of type mask without its bit map (a PNG in base64 and two corners); save it again"
        )
    bits = image_from_raster(content, "PNG").numbers > 0
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
