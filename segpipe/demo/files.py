"""A folder of phantoms: images, masks and the sample sheet, with the variety of files that archives hold."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from segpipe.demo.dicom import DICOM_VARIANTS, DicomVariant, encode_dicom
from segpipe.demo.render import render
from segpipe.files.atomic import write_bytes

CLASSES = ("lung", "heart")
SHAPES = ((480, 400), (560, 640), (720, 600), (640, 512), (900, 1100), (1100, 900), (600, 768))  # rows and columns
UNLABELLED_EVERY = 11  # 4 of 48
_FEWEST_WITH_BROKEN = 6
_FAST = 1  # zlib level: noise hardly compresses, so a higher level only takes longer


PngKind = Literal["grey8", "grey16", "rgb"]
PNG_KINDS: tuple[PngKind, ...] = ("grey8", "grey8", "grey16", "grey8", "rgb")


@dataclass(frozen=True)
class Phantom:
    """One image to make; ``number`` is its patient's."""

    number: int
    view: str
    site: str
    shape: tuple[int, int]
    labelled: bool
    broken: bool
    kind: DicomVariant | PngKind

    @property
    def patient(self) -> str:
        """The patient as the sheet names it."""
        return f"syn{self.number:04d}"

    @property
    def stem(self) -> str:
        """The file name without folder and suffix."""
        return f"{self.patient}_{self.view}"

    @property
    def image(self) -> str:
        """Path of the image inside the folder."""
        return f"images/{self.stem}.{'dcm' if isinstance(self.kind, DicomVariant) else 'png'}"

    def mask(self, name: str) -> str:
        """Path of the mask of one class inside the folder."""
        return f"masks/{name}/{self.stem}.png"


def make_phantoms(folder: Path, count: int = 48, seed: int = 0, *, scale: float = 1.0) -> None:
    """Write ``count`` synthetic chest radiographs with masks of lung and heart.

    Made are ``images/<patient>_<view>.dcm`` and ``.png`` (half each), ``masks/<class>/<patient>_<view>.png``
    (0 and 255) and ``samples.csv`` with the columns image, mask_lung, mask_heart, patient, view and
    site. A few patients have two images, one image in eleven has no masks, and the last two images
    (from six on) have truncated pixels, to show what quarantine does. ``scale`` shrinks the images.
    The same arguments give the same bytes on the same versions and kind of machine.
    """
    phantoms = plan(count, scale)
    for part in ("images", *(f"masks/{name}" for name in CLASSES)):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index, phantom in enumerate(phantoms):
        _write_one(folder, phantom, index, seed)
    _write_sheet(folder / "samples.csv", phantoms)


def plan(count: int, scale: float) -> list[Phantom]:
    """The first ``count`` images: DICOM and PNG alternate, every sixth patient has two.

    From six images on, the last DICOM and the last PNG are broken; one in eleven has no masks.
    ``scale`` shrinks every image (1: 400 to 1100 pixels a side).
    """
    owners = [(patient, view) for patient in range(count) for view in range(2 if patient % 6 == 5 else 1)]
    return [_phantom(index, *owner, count, scale) for index, owner in enumerate(owners[:count])]


def _phantom(index: int, patient: int, view: int, count: int, scale: float) -> Phantom:
    broken = count >= _FEWEST_WITH_BROKEN and index >= count - 2
    rows, columns = SHAPES[index % len(SHAPES)]
    dicom = DICOM_VARIANTS[0 if broken else index // 2 % len(DICOM_VARIANTS)]
    return Phantom(
        number=patient,
        view=f"pa{view + 1}",
        site="east" if patient % 3 else "west",
        shape=(max(32, round(rows * scale)), max(32, round(columns * scale))),
        labelled=broken or index % UNLABELLED_EVERY != 7,
        broken=broken,
        kind=dicom if index % 2 == 0 else PNG_KINDS[index // 2 % len(PNG_KINDS)],
    )


def _write_one(folder: Path, phantom: Phantom, index: int, seed: int) -> None:
    # Seeds of different runs must not share patients: 100,000 is more than any count here.
    first = seed * 100_000
    pixels, masks = render(first + phantom.number, first + index, phantom.shape)
    if isinstance(phantom.kind, DicomVariant):
        content = encode_dicom(pixels, phantom.kind, phantom.patient, phantom.stem, seed, broken=phantom.broken)
    else:
        content = _png(_raster(pixels, phantom.kind))
        content = content[: len(content) // 2] if phantom.broken else content
    _write(folder / phantom.image, content)
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


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=_FAST)
    return buffer.getvalue()


def _write_sheet(path: Path, phantoms: list[Phantom]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        sheet = csv.writer(stream, lineterminator="\n")
        sheet.writerow(["image", *(f"mask_{name}" for name in CLASSES), "patient", "view", "site"])
        for phantom in phantoms:
            masks = [phantom.mask(name) if phantom.labelled else "" for name in CLASSES]
            sheet.writerow([phantom.image, *masks, phantom.patient, phantom.view, phantom.site])
