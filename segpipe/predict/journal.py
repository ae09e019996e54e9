"""What a shard's masks were made from, so that a mask that is still right is kept.

``journal.csv`` lies beside the masks and is no declared output: Snakemake deletes those before it runs a
job again. A line is appended after each image; a kill costs the image at hand.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
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


class Journal:
    """The record of one folder of masks."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / NAME
        folder.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text and not text.endswith("\n"):  # cut short by a kill
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")
        rows = csv.reader(text.splitlines())
        self._entries = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}

    def keeps(self, image_id: str, wanted: str, names: Sequence[str]) -> bool:
        """Whether the files on disk are those that ``wanted`` (a :func:`recipe`) would give."""
        made_by, content = self._entries.get(image_id, ("", ""))
        if made_by != wanted:
            return False
        try:
            return files_hash([(self._folder / name).read_bytes() for name in names]) == content
        except OSError:
            return False

    def content(self, image_id: str) -> str:
        """The recorded hash of an image's files (:func:`files_hash`), "" where there are none."""
        return self._entries.get(image_id, ("", ""))[1]

    def add(self, image_id: str, made_by: str, files: Sequence[bytes]) -> None:
        """Record an image whose files are in place."""
        self._entries[image_id] = made_by, files_hash(files)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([image_id, *self._entries[image_id]])

    def remove_others(self, image_ids: set[str], names: set[str]) -> list[str]:
        """Delete masks of images that are gone, and their lines; the names that were deleted."""
        gone = sorted(path.name for path in self._folder.glob("*.png") if path.name not in names)
        for name in gone:
            (self._folder / name).unlink()
        kept = {image_id: entry for image_id, entry in self._entries.items() if image_id in image_ids}
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([image_id, *entry] for image_id, entry in sorted(kept.items()))
        write_text_if_changed(self._path, text.getvalue())
        return gone
