"""The record of what masks were made from, so that a mask that is still right is kept.

``journal.csv`` has a line per image. It is not a declared output: Snakemake deletes those before it runs a job again.
A line is appended after each image; a kill costs the images at hand. Masks count only if their bytes are those that a
line records.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segpipe.files.atomic import explain_full_disk, write_text_if_changed

NAME = "journal.csv"


def cache_key(*parts: Any) -> str:
    """A hash of everything that decides a mask: image, geometry, models, settings."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """What is known of one image: its cache key, and the SHA-256 of each of its entries by name.

    ``facts`` are what only predicting tells, such as how many pixels were tidied.
    """

    key: str
    hashes: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, contents: Mapping[str, bytes], facts: Mapping[str, Any]) -> "Entry":
        """The entry of these bytes."""
        return cls(key, {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}, dict(facts))

    def content(self, names: Iterable[str]) -> str:
        """One hash over the entries of these names, such as all masks of the image."""
        return hashlib.sha256(b"".join(bytes.fromhex(self.hashes[name]) for name in names)).hexdigest()

    def cells(self) -> list[str]:
        """What stands in its line after the image."""
        return [self.key, *(json.dumps(part, default=_plain) for part in (self.hashes, self.facts))]


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

    def drop(self, image_id: str) -> None:
        """Drop an image's entry in memory; :meth:`rewrite` brings that to the disk."""
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
        image_id, key, hashes, facts = next(csv.reader([line]), [])
        return image_id, Entry(key, json.loads(hashes), json.loads(facts))
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    """Python's own of a number of NumPy's; JSON escapes all line ends in texts."""
    return value.item()
