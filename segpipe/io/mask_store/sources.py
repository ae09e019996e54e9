"""Masks from wherever they lie: the work file of an interrupted run, or a finished store of any kind."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import get_args

from segpipe.io.mask_store.folder import Folder
from segpipe.io.mask_store.journal import Entry
from segpipe.io.mask_store.layout import Entries, Kind
from segpipe.io.mask_store.place import Finished, Place
from segpipe.io.mask_store.tar import WorkFile


class Sources:
    """All that lies at one place. Bytes count only if they are the recorded ones."""

    def __init__(self, place: Place, kind: Kind) -> None:
        self.place, self.kind = place, kind
        self.folder, self.work = Folder(place.folder), WorkFile(place.work)
        self.finished: dict[Kind, Finished] = {}
        for each in sorted(get_args(Kind), key=lambda other: other != kind):  # the wanted kind first
            self.reopen(each)

    def reopen(self, kind: Kind) -> None:
        """Open a finished store that was written anew; one that cannot be read counts as none."""
        if kind in self.finished:
            self.finished.pop(kind).close()
        with suppress(OSError, ValueError):
            self.finished[kind] = self.place.open(kind)

    def read(self, entry: Entry) -> Entries | None:
        """The bytes of an entry; None where they are nowhere, or not as recorded."""
        for source in (self.work, *self.finished.values()):
            masks, probabilities = recorded(source, entry.masks), recorded(source, entry.probabilities)
            if masks is not None and probabilities is not None:
                return Entries(masks, probabilities)
        return None

    def remove_files(self, entry: Entry, kept: Mapping[str, str]) -> None:
        """Delete an entry's files but those in ``kept``; one with other bytes than recorded is somebody else's."""
        for name, wanted in entry.hashes.items():
            if name not in kept and recorded(self.folder, {name: wanted}) is not None:
                self.folder.remove(name)

    def remove_finished(self, kind: Kind) -> None:
        """Delete a finished archive or table."""
        if kind != "files" and kind in self.finished:
            self.finished.pop(kind).close()
            self.place.finished(kind).unlink()

    def close(self) -> None:
        """Give open files back."""
        for source in (self.work, *self.finished.values()):
            source.close()


def recorded(source: Finished | WorkFile, hashes: Mapping[str, str]) -> dict[str, bytes] | None:
    """The bytes with these hashes, by name; None unless all are there."""
    found: dict[str, bytes] = {}
    for name, wanted in hashes.items():
        try:
            content = source.read(name)
        except (KeyError, OSError, ValueError):
            return None
        if hashlib.sha256(content).hexdigest() != wanted:
            return None
        found[name] = content
    return found
