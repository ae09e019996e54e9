"""One image's predicted masks and probabilities as named bytes, and back.

Masks have the original size. As PNG they come in three forms. ``binary``: ``<image_id>.png``, 0 and 255, for a single
class. ``labels``: ``<image_id>.png`` with the config's pixel value of each class. ``per_class``:
``<image_id>.<class>.png``, 0 and 255 each, where classes may overlap. As run lengths they are always one per class:
``<image_id>.<class>.rle``, "rows columns counts" (:mod:`segpipe.masks.run_lengths`). Probabilities are those of the
network's square: ``<image_id>.<class>.probability.png`` in steps of 1/255, or ``.probability.npy`` in float16.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from segpipe.config import Classes
from segpipe.config.data import label_values
from segpipe.errors import InputError
from segpipe.masks import run_lengths

MaskForm = Literal["binary", "labels", "per_class"]
Kind = Literal["files", "rle"]
Probabilities = Literal["none", "uint8", "float16"]

RUNS = ".rle"
ENDINGS: Mapping[Probabilities, str] = {"uint8": ".probability.png", "float16": ".probability.npy"}
PER_PIXEL, BLOCK = 0.01, 4096  # bytes of a mask: measured 0.005 to 0.009 for lungs; of a file

# Masks compress to a few KB in any way; this one is among the fastest to write.
PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)


@dataclass(frozen=True)
class Layout:
    """How a run's masks are named and written."""

    classes: Classes
    form: MaskForm
    kind: Kind = "files"
    probabilities: Probabilities = "none"

    def mask_names(self, image_id: str) -> list[str]:
        """The entries with the masks of an image."""
        if self.kind == "rle":
            return [f"{image_id}.{name}{RUNS}" for name in self.classes]
        if self.form == "per_class":
            return [f"{image_id}.{name}.png" for name in self.classes]
        return [f"{image_id}.png"]

    def probability_names(self, image_id: str) -> list[str]:
        """The entries with its probabilities, one per class; none where none are kept."""
        if self.probabilities == "none":
            return []
        return [f"{image_id}.{name}{ENDINGS[self.probabilities]}" for name in self.classes]

    def names(self, image_id: str) -> list[str]:
        """All entries of an image."""
        return self.mask_names(image_id) + self.probability_names(image_id)

    def encode(self, image_id: str, masks: np.ndarray, probabilities: np.ndarray) -> dict[str, bytes]:
        """``masks`` (classes, rows, columns) bool and ``probabilities`` (classes, size, size) float32 as entries."""
        names = self.probability_names(image_id)
        kept = [_encode_probability(channel, self.probabilities) for channel in probabilities] if names else []
        return self.encode_masks(image_id, masks) | dict(zip(names, kept, strict=True))

    def encode_masks(self, image_id: str, masks: np.ndarray) -> dict[str, bytes]:
        """``masks`` (classes, rows, columns) bool as entries."""
        if self.kind == "rle":
            contents = [_encode_runs(mask) for mask in masks]
        elif self.form == "labels":
            contents = [encode_png(label_image(masks, self.classes))]
        else:
            contents = [encode_png(mask.astype(np.uint8) * 255) for mask in masks]
        return dict(zip(self.mask_names(image_id), contents, strict=True))

    def decode_masks(self, contents: Sequence[bytes]) -> np.ndarray:
        """The masks, (classes, rows, columns) bool, of entries in the order of :meth:`mask_names`.

        Raises:
            ValueError: they are damaged.
        """
        if self.kind == "rle":
            return np.stack([_decode_runs(content) for content in contents])
        images = [decode_png(content) for content in contents]
        if self.form == "labels":
            return np.stack([images[0] == value for value in label_values(self.classes)])
        return np.stack([image > 127 for image in images])

    def expected_bytes(self, images: int, pixels: int, size: int) -> int:
        """What new masks of so many images, which have so many pixels together, take on the disk at most, about.

        A table of run lengths is written once more when it is finished. Probabilities are counted without compression.
        """
        masks = round(len(self.classes) * (pixels * PER_PIXEL + images * BLOCK))
        of_pixel = {"none": 0, "uint8": 1, "float16": 2}[self.probabilities]
        kept = images * len(self.classes) * size * size * of_pixel
        return (masks + kept) * (1 if self.kind == "files" else 2)


def mask_form(wanted: Literal["auto", "labels", "per_class"], classes: Classes, label_masks: bool) -> MaskForm:
    """The form for a run: as its reference masks are, unless the config says otherwise."""
    if len(classes) == 1:
        return "binary"
    form: MaskForm = ("labels" if label_masks else "per_class") if wanted == "auto" else wanted
    if form == "labels":
        label_values(classes)  # or say what is wrong with them before anything is predicted
    return form


def label_image(masks: np.ndarray, classes: Classes) -> np.ndarray:
    """``masks`` (classes, rows, columns) bool as one image with the config's value of each class, uint8 or uint16."""
    values = label_values(classes)
    labels = np.zeros(masks.shape[1:], np.uint16 if max(values) > 255 else np.uint8)
    for value, channel in zip(values, masks, strict=True):
        labels[channel] = value
    return labels


def encode_png(image: np.ndarray) -> bytes:
    """A grey image, uint8 or uint16 (rows, columns), as a PNG file."""
    written, encoded = cv2.imencode(".png", image, PNG)
    if not written:
        raise InputError(f"A mask of {image.shape} cannot be written as PNG.")
    return encoded.tobytes()


def decode_png(content: bytes) -> np.ndarray:
    """The reverse of :func:`encode_png`.

    Raises:
        ValueError: it is not a grey PNG.
    """
    buffer = np.frombuffer(content, np.uint8)
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if len(buffer) else None
    if image is None or image.ndim != 2:
        raise ValueError("no grey PNG")
    return np.asarray(image)


def holds_runs(names: Iterable[str]) -> bool:
    """Whether an image's entries of these names are run lengths, not PNG files."""
    return any(name.endswith(RUNS) for name in names)


def decode_probability(name: str, content: bytes) -> np.ndarray:
    """The probability in an entry, float32 (size, size) of 0 to 1.

    Raises:
        ValueError: it is damaged.
    """
    if name.endswith(ENDINGS["uint8"]):
        return decode_png(content).astype(np.float32) / 255
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False), np.float32)


def _encode_probability(channel: np.ndarray, kind: Probabilities) -> bytes:
    if kind == "uint8":
        return encode_png(np.rint(channel * 255).astype(np.uint8))
    file = io.BytesIO()
    np.save(file, channel.astype(np.float16))
    return file.getvalue()


def _encode_runs(mask: np.ndarray) -> bytes:
    return f"{mask.shape[0]} {mask.shape[1]} {run_lengths.encode(mask)}".encode("ascii")


def _decode_runs(content: bytes) -> np.ndarray:
    rows, columns, counts = content.decode("ascii").split(" ")
    return run_lengths.decode(counts, int(rows), int(columns))
