"""What masks were made from, so that a mask that is still right is kept.

``journal.csv`` is no declared output: Snakemake deletes those before it runs a job again. A line is appended after each
image; a kill costs the image at hand. Masks count only if their bytes are those that a line records.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segpipe.io.atomic import explain_full_disk, write_text_if_changed
from segpipe.io.mask_store.layout import Entries

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
