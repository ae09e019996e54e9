"""What is kept of one image, under which names and as which bytes."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from segpipe.config import Classes
from segpipe.io import run_lengths
from segpipe.io.predictions import MaskForm, decode_masks, decode_png, encode_masks, encode_png, mask_names

Kind = Literal["files", "archive", "rle"]
Probabilities = Literal["none", "uint8", "float16"]

RUNS = ".rle"
PER_PIXEL, BLOCK = 0.01, 4096  # bytes of a mask: measured 0.005 to 0.009 for lungs (docs/mask-files.md); of a file
ENDINGS: Mapping[Probabilities, str] = {"uint8": ".probability.png", "float16": ".probability.npy"}


@dataclass(frozen=True)
class Entries:
    """The bytes that are kept of an image, by name."""

    masks: dict[str, bytes]
    probabilities: dict[str, bytes] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, bytes]:
        """Both."""
        return self.masks | self.probabilities


@dataclass(frozen=True)
class Layout:
    """How a run's masks are named and written."""

    classes: Classes
    form: MaskForm
    kind: Kind = "files"
    probabilities: Probabilities = "none"

    def mask_names(self, image_id: str) -> list[str]:
        """The entries with the masks of an image: run lengths are always one per class."""
        if self.kind == "rle":
            return [f"{image_id}.{name}{RUNS}" for name in self.classes]
        return mask_names(image_id, self.form, self.classes)

    def probability_names(self, image_id: str) -> list[str]:
        """The entries with its probabilities, one per class; none where none are kept."""
        if self.probabilities == "none":
            return []
        return [f"{image_id}.{name}{ENDINGS[self.probabilities]}" for name in self.classes]

    def names(self, image_id: str) -> list[str]:
        """All entries of an image."""
        return self.mask_names(image_id) + self.probability_names(image_id)

    def expected_bytes(self, images: int, pixels: int, size: int) -> int:
        """What new masks of so many images, which have so many pixels together, take on the disk at most, about.

        An archive or table is written once more when it is finished. Probabilities are counted without compression.
        """
        per_mask = pixels * PER_PIXEL + images * BLOCK
        masks = round(len(self.classes) * per_mask)
        of_pixel = {"none": 0, "uint8": 1, "float16": 2}[self.probabilities]
        kept = images * len(self.classes) * size * size * of_pixel
        return (masks + kept) * (1 if self.kind == "files" else 2)

    def encode(self, image_id: str, masks: np.ndarray, probabilities: np.ndarray) -> Entries:
        """``masks`` (classes, rows, columns) bool and ``probabilities`` (classes, size, size) float32 as bytes."""
        names = self.probability_names(image_id)
        kept = [_encoded(channel, self.probabilities) for channel in probabilities] if names else []
        return Entries(self.encode_masks(image_id, masks), dict(zip(names, kept, strict=True)))

    def encode_masks(self, image_id: str, masks: np.ndarray) -> dict[str, bytes]:
        """``masks`` (classes, rows, columns) bool as bytes."""
        runs = self.kind == "rle"
        contents = [_runs(mask) for mask in masks] if runs else encode_masks(masks, self.form, self.classes)
        return dict(zip(self.mask_names(image_id), contents, strict=True))


def holds_runs(masks: Mapping[str, object]) -> bool:
    """Whether masks are run lengths, not pictures."""
    return all(name.endswith(RUNS) for name in masks)


def masks_of(contents: Mapping[str, bytes], form: MaskForm, classes: Classes) -> np.ndarray:
    """The masks in an image's entries, (classes, rows, columns) bool.

    Raises:
        ValueError: they are damaged.
    """
    if not holds_runs(contents):
        return decode_masks(list(contents.values()), form, classes)
    found = []
    for content in contents.values():
        rows, columns, counts = content.decode("ascii").split(" ")
        found.append(run_lengths.decode(counts, int(rows), int(columns)))
    return np.stack(found)


def probability_of(name: str, content: bytes) -> np.ndarray:
    """The probability in an entry, float32 (size, size) of 0 to 1.

    Raises:
        ValueError: it is damaged.
    """
    if name.endswith(ENDINGS["uint8"]):
        return decode_png(content).astype(np.float32) / 255
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False), np.float32)


def _runs(mask: np.ndarray) -> bytes:
    return f"{mask.shape[0]} {mask.shape[1]} {run_lengths.encode(mask)}".encode("ascii")


def _encoded(channel: np.ndarray, kind: Probabilities) -> bytes:
    if kind == "uint8":
        return encode_png(np.rint(channel * 255).astype(np.uint8))
    file = io.BytesIO()
    np.save(file, channel.astype(np.float16))
    return file.getvalue()
