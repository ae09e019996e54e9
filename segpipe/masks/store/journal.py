"""What is kept of one image, under which names and as which bytes, and the record of what it was made from."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segpipe.config import Classes
from segpipe.files.atomic import explain_full_disk, write_text_if_changed
from segpipe.masks import run_lengths
from segpipe.masks.encode import MaskForm, decode_masks, decode_png, encode_masks, encode_png, mask_names

# What is kept of one image, under which names and as which bytes.

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


# What masks were made from, so that a mask that is still right is kept.
#
# ``journal.csv`` is no declared output: Snakemake deletes those before it runs a job again. A line is appended after
# each
# image; a kill costs the image at hand. Masks count only if their bytes are those that a line records.

NAME = "journal.csv"


def recipe(*parts: Any) -> str:
    """A hash of everything that decides a mask: picture, geometry, models, settings."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """What is known of one image: its recipe, and the SHA-256 of each of its entries by name.

    ``facts`` are what only predicting tells, as how many pixels were tidied.
    """

    made_by: str
    masks: dict[str, str]
    probabilities: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, made_by: str, entries: Entries, facts: Mapping[str, Any]) -> "Entry":
        """The entry of these bytes."""
        masks, probabilities = (
            {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
            for contents in (entries.masks, entries.probabilities)
        )
        return cls(made_by, masks, probabilities, dict(facts))

    @property
    def hashes(self) -> dict[str, str]:
        """Of all entries."""
        return self.masks | self.probabilities

    @property
    def content(self) -> str:
        """One hash over the masks."""
        return hashlib.sha256(b"".join(bytes.fromhex(value) for value in self.masks.values())).hexdigest()

    def cells(self) -> list[str]:
        """What stands in its line after the image."""
        return [
            self.made_by,
            *(json.dumps(part, default=_plain) for part in (self.masks, self.probabilities, self.facts)),
        ]


class Journal:
    """The record of a store of masks."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        folder.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text and not text.endswith("\n"):  # cut short by a kill
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")
        self._entries = dict(filter(None, map(_parse, text.split("\n"))))

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._entries

    def __getitem__(self, image_id: str) -> Entry:
        return self._entries[image_id]

    def get(self, image_id: str) -> Entry | None:
        """What is known of an image, if anything."""
        return self._entries.get(image_id)

    def image_ids(self) -> list[str]:
        """The images with a line, sorted."""
        return sorted(self._entries)

    def add(self, image_id: str, entry: Entry) -> None:
        """Record an image whose entries are in place."""
        self._entries[image_id] = entry
        with explain_full_disk(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([image_id, *entry.cells()])

    def replace(self, image_id: str, entry: Entry) -> None:
        """Change an entry in memory; :meth:`rewrite` brings it to the disk."""
        self._entries[image_id] = entry

    def drop(self, image_id: str) -> None:
        """Drop an image's entry in memory; :meth:`rewrite` brings it to the disk."""
        self._entries.pop(image_id, None)

    def rewrite(self) -> None:
        """Leave one line per image, in order."""
        text = io.StringIO()
        lines = ([image_id, *self._entries[image_id].cells()] for image_id in self.image_ids())
        csv.writer(text, lineterminator="\n").writerows(lines)
        write_text_if_changed(self._path, text.getvalue())


def _parse(line: str) -> tuple[str, Entry] | None:
    """A line's image and entry; None for what a kill cut short, or another version wrote."""
    try:
        image_id, made_by, masks, probabilities, facts = next(csv.reader([line]), [])
        return image_id, Entry(made_by, json.loads(masks), json.loads(probabilities), json.loads(facts))
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    """Python's own of a number of NumPy's; JSON escapes all line ends in texts."""
    return value.item()
