"""A folder of phantoms: images, masks and the sample sheet."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from segpipe.demo.dicom import encode_dicom
from segpipe.demo.plan import Phantom, PngKind, plan
from segpipe.demo.render import render
from segpipe.files.atomic import write_bytes

CLASSES = ("lung", "heart")
_FAST = 1  # zlib level: noise hardly compresses, so a higher level only takes longer


def make_phantoms(folder: Path, count: int = 48, seed: int = 0, *, scale: float = 1.0) -> None:
    """Write ``count`` synthetic chest radiographs with masks of lung and heart.

    Made are ``images/<patient>_<view>.dcm`` and ``.png`` (half each), ``masks/<class>/<patient>_<view>.png``
    (0 and 255) and ``samples.csv`` with the columns image, mask_lung, mask_heart, patient, view and
    site. A few patients have two images, one image in eleven has no masks, and the last two images
    (from six on) have truncated pixels, to show what quarantine does. ``scale`` shrinks the pictures.
    The same arguments give the same bytes on the same versions and kind of machine.
    """
    phantoms = plan(count, scale)
    for part in ("images", *(f"masks/{name}" for name in CLASSES)):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index, phantom in enumerate(phantoms):
        _write_one(folder, phantom, index, seed)
    _write_sheet(folder / "samples.csv", phantoms)


def _write_one(folder: Path, phantom: Phantom, index: int, seed: int) -> None:
    # Seeds of different runs must not share patients: 100,000 is more than any count here.
    first = seed * 100_000
    pixels, masks = render(first + phantom.patient_number, first + index, phantom.shape)
    if phantom.dicom is not None:
        _write(folder / phantom.image, encode_dicom(pixels, phantom, phantom.dicom, seed))
    elif phantom.png is not None:
        content = _png(_raster(pixels, phantom.png))
        _write(folder / phantom.image, content[: len(content) // 2] if phantom.broken else content)
    if phantom.labelled:
        for name in CLASSES:
            _write(folder / phantom.mask(name), _png(masks[name].astype(np.uint8) * np.uint8(255)))


def _write(path: Path, content: bytes) -> None:
    """Leave a file that is right as it is: a new time of change would make the workflow read it again."""
    if not (path.exists() and path.read_bytes() == content):
        write_bytes(path, content)


def _raster(pixels: np.ndarray, kind: PngKind) -> np.ndarray:
    if kind == "grey16":
        return np.rint(pixels * 65535.0).astype(np.uint16)
    grey = np.rint(pixels * 255.0).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2) if kind == "rgb" else grey


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=_FAST)
    return buffer.getvalue()


def _write_sheet(path: Path, phantoms: list[Phantom]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        sheet = csv.writer(stream, lineterminator="\n")
        sheet.writerow(["image", *(f"mask_{name}" for name in CLASSES), "patient", "view", "site"])
        for phantom in phantoms:
            masks = [phantom.mask(name) if phantom.labelled else "" for name in CLASSES]
            sheet.writerow([phantom.image, *masks, phantom.patient, phantom.view, phantom.site])
