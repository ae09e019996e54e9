"""What masks were made from, so that a mask that is still right is kept.

``journal.csv`` lies beside the masks and is no declared output: Snakemake deletes those before it runs a
job again. A line is appended after each image; a kill costs the image at hand.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segpipe.io.atomic import write_text_if_changed

NAME = "journal.csv"


def files_hash(files: Sequence[bytes]) -> str:
    """One hash over an image's mask files."""
    digest = hashlib.sha256()
    for content in files:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def recipe(*parts: Any) -> str:
    """A hash of everything that decides a mask: picture, geometry, models, settings."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """What is known of one image's files."""

    made_by: str = ""  # a recipe
    content: str = ""  # files_hash
    facts: dict[str, Any] = field(default_factory=dict)  # what only predicting tells, as how many pixels were tidied

    def line(self, image_id: str) -> list[str]:
        """The cells of its line."""
        return [image_id, self.made_by, self.content, json.dumps(self.facts, default=_plain)]


class Journal:
    """The record of one folder of masks."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / NAME
        folder.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text and not text.endswith("\n"):  # cut short by a kill
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")
        self._entries = dict(filter(None, map(_parse, text.split("\n"))))

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._entries

    def image_ids(self) -> set[str]:
        """The images with a line."""
        return set(self._entries)

    def keeps(self, image_id: str, wanted: str, names: Sequence[str]) -> bool:
        """Whether the files on disk are those that ``wanted`` (a :func:`recipe`) would give."""
        return self._entries.get(image_id, Entry()).made_by == wanted and self.wrote(image_id, names)

    def wrote(self, image_id: str, names: Sequence[str]) -> bool:
        """Whether the files on disk are those that were recorded."""
        try:
            return files_hash([(self._folder / name).read_bytes() for name in names]) == self.content(image_id)
        except OSError:
            return False

    def content(self, image_id: str) -> str:
        """The recorded hash of an image's files (:func:`files_hash`), "" where there are none."""
        return self._entries.get(image_id, Entry()).content

    def facts(self, image_id: str) -> dict[str, Any]:
        """What was recorded beside the hashes."""
        return self._entries.get(image_id, Entry()).facts

    def add(self, image_id: str, made_by: str, files: Sequence[bytes], facts: Mapping[str, Any] | None = None) -> None:
        """Record an image whose files are in place."""
        self._entries[image_id] = entry = Entry(made_by, files_hash(files), dict(facts or {}))
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(entry.line(image_id))

    def remove_others(self, image_ids: set[str], names: set[str]) -> list[str]:
        """Delete masks of images that are gone, and their lines; the names that were deleted."""
        gone = sorted(path.name for path in self._folder.glob("*.png") if path.name not in names)
        for name in gone:
            (self._folder / name).unlink()
        self._entries = {image_id: entry for image_id, entry in self._entries.items() if image_id in image_ids}
        self.rewrite()
        return gone

    def forget(self, image_id: str) -> None:
        """Drop an image's line."""
        if self._entries.pop(image_id, None):
            self.rewrite()

    def rewrite(self) -> None:
        """Leave one line per image, in order."""
        text = io.StringIO()
        lines = (entry.line(image_id) for image_id, entry in sorted(self._entries.items()))
        csv.writer(text, lineterminator="\n").writerows(lines)
        write_text_if_changed(self._path, text.getvalue())


def _parse(line: str) -> tuple[str, Entry] | None:
    """A line's image and entry; None for what a kill cut short, or another version wrote."""
    try:
        image_id, made_by, content, facts = next(csv.reader([line]), [])
        return image_id, Entry(made_by, content, json.loads(facts))
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    """Python's own of a number of NumPy's; JSON escapes all line ends in texts."""
    return value.item()
