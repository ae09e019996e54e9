"""A store of masks: filled by one stage, which keeps what is still right, and read by those that follow."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import numpy as np
import pandas as pd

from segpipe.config import Classes
from segpipe.errors import InputError
from segpipe.files.atomic import remove_leftovers
from segpipe.masks.encode import MaskForm
from segpipe.masks.store.journal import (
    ENDINGS,
    Entries,
    Entry,
    Journal,
    Kind,
    Layout,
    holds_runs,
    masks_of,
    probability_of,
)
from segpipe.masks.store.place import Place, Sources, recorded, write_archive, write_table

# A store of masks that is being filled: what is still right is kept, the rest is made anew.


class MaskStore:
    """Masks of one shard, or of one call of `segpipe predict`.

    :meth:`save` may be called by several threads; all else by one. A finished archive or table is never changed: new
    masks go to a work file, and :meth:`finish` merges both into a new one. An image's masks may also lie in a store of
    another kind, from a run with other settings; they count like any others, and :meth:`finish` moves them.
    """

    def __init__(self, place: Place, layout: Layout) -> None:
        for folder in {place.folder, place.stem.parent}:
            remove_leftovers(folder)
        self.layout, self.journal = layout, Journal(place.folder)
        self._place, self._sources = place, Sources(place, layout.kind)

    def keeps(self, image_id: str, made_by: str) -> bool:
        """Whether masks are there that ``made_by`` (:func:`journal.recipe`) would give, and their bytes are right."""
        entry = self.journal.get(image_id)
        return entry is not None and entry.made_by == made_by and self._suits(image_id, entry) is not None

    def take_over(self, wanted: Mapping[str, str]) -> list[str]:
        """Copy masks that another image has by the same recipe, as of a file that was renamed.

        ``wanted`` are images and their recipes; returns those that have masks now.
        """
        by_recipe = {self.journal[other].made_by: other for other in self.journal.image_ids()}
        pairs = ((image_id, by_recipe.get(made_by)) for image_id, made_by in wanted.items())
        return [image_id for image_id, other in pairs if other and self._copy(other, image_id)]

    def save(self, entries: Entries) -> None:
        """Write an image's entries; they count once :meth:`commit` has recorded them."""
        if self.layout.kind == "files":
            self._sources.folder.write(entries.all)
        else:
            for name, content in entries.all.items():
                self._sources.work.append(name, content)

    def commit(self, image_id: str, entry: Entry) -> None:
        """Record an image whose entries are saved; files of earlier ones that it no longer has are deleted."""
        self._remove_files(image_id, entry)
        self.journal.add(image_id, entry)

    def discard(self, image_id: str) -> None:
        """Delete an image's masks, which are no longer right; files that are not as the journal says stay."""
        if image_id in self.journal:
            self._sources.remove_files(self.journal[image_id], {})
            self.journal.drop(image_id)
            self.journal.rewrite()

    def keep_only(self, image_ids: Collection[str]) -> list[str]:
        """Forget all other images, and delete files of the folder that are of none; returns the names of these."""
        for image_id in set(self.journal.image_ids()) - set(image_ids):
            self.journal.drop(image_id)
        wanted = {name for image_id in self.journal.image_ids() for name in self.journal[image_id].hashes}
        others = sorted(set(self._sources.folder.names()) - wanted)
        for name in others:
            self._sources.folder.remove(name)
        return others

    def finish(self, image_ids: Collection[str]) -> None:
        """Bring all masks to where readers look for them, those of ``image_ids`` in the wanted kind of store.

        Images of earlier calls stay, in their own kind of store if they cannot be brought to this one.
        """
        wanted = set(image_ids)
        if self.layout.kind == "files":
            self._finish_files(wanted)
        elif self._changed(wanted):
            self._finish_pack(wanted)
        self._remove_emptied()
        self.journal.rewrite()

    def close(self) -> None:
        """Give open files back."""
        self._sources.close()

    def _suits(self, image_id: str, entry: Entry) -> Entries | None:
        """The bytes of an entry, if they are there with all that is wanted."""
        wanted = set(self.layout.probability_names(image_id))
        return self._sources.read(entry) if wanted <= set(entry.probabilities) else None

    def _copy(self, other: str, image_id: str) -> bool:
        entry = self.journal[other]
        found = self._suits(other, entry)
        if found is None:
            return False
        masks, probabilities = (_renamed(part, other, image_id) for part in (found.masks, found.probabilities))
        entries = self._as_wanted(image_id, Entries(masks, probabilities))
        self.save(entries)
        self.commit(image_id, Entry.of(entry.made_by, entries, entry.facts))
        return True

    def _as_wanted(self, image_id: str, entries: Entries) -> Entries:
        """Entries as a run with these settings writes them: masks are recoded, probabilities may be too many."""
        layout, masks = self.layout, entries.masks
        if self._is_foreign(masks):
            masks = layout.encode_masks(image_id, masks_of(masks, layout.form, layout.classes))
        return Entries(masks, {name: entries.probabilities[name] for name in layout.probability_names(image_id)})

    def _is_foreign(self, masks: Mapping[str, object]) -> bool:
        """Whether masks are pictures where run lengths are wanted, or the other way round."""
        return holds_runs(masks) != (self.layout.kind == "rle")

    def _finish_files(self, wanted: set[str]) -> None:
        """Write what lies elsewhere, if anything does."""
        elsewhere = bool(self._sources.work.names()) or len(self._sources.finished) > 1
        for image_id in sorted(wanted):
            entry = self.journal[image_id]
            if not elsewhere and list(entry.probabilities) == self.layout.probability_names(image_id):
                continue
            entries = self._sources.read(entry)
            if (
                entries is not None
                and recorded(self._sources.folder, entry.hashes) != self._as_wanted(image_id, entries).all
            ):
                entries = self._as_wanted(image_id, entries)
                self.save(entries)
                self.commit(image_id, Entry.of(entry.made_by, entries, entry.facts))

    def _changed(self, wanted: set[str]) -> bool:
        """Whether the finished archive or table is not what it should be."""
        finished = self._sources.finished.get(self.layout.kind)
        if finished is None or self._sources.work.names():
            return True
        entries = {image_id: self.journal[image_id] for image_id in self.journal.image_ids()}
        if any(self._is_foreign(entries[name].masks) for name in wanted):
            return True
        if any(list(entries[name].probabilities) != self.layout.probability_names(name) for name in wanted):
            return True
        names = {name for entry in entries.values() if not self._is_foreign(entry.masks) for name in entry.hashes}
        return names != set(finished.names())

    def _finish_pack(self, wanted: set[str]) -> None:
        """Write the archive or table anew, of what it had and of what is new, in the order of the images."""
        kind, fresh = self.layout.kind, dict[str, Entry]()

        def images() -> Iterator[tuple[str, Entries]]:
            for image_id in self.journal.image_ids():
                entry = self.journal[image_id]
                entries = self._sources.read(entry)
                if entries is not None and image_id in wanted:
                    entries = self._as_wanted(image_id, entries)
                if entries is not None and not self._is_foreign(entries.masks):
                    fresh[image_id] = Entry.of(entry.made_by, entries, entry.facts)
                    yield image_id, entries

        write = write_archive if kind == "archive" else write_table
        write(self._place.finished(kind), images())
        self._sources.reopen(kind)
        before = {image_id: self.journal[image_id] for image_id in fresh}
        for image_id, entry in fresh.items():
            self.journal.replace(image_id, entry)
        self.journal.rewrite()  # before anything is deleted
        for entry in before.values():
            self._sources.remove_files(entry, {})
        self._sources.work.remove()

    def _remove_emptied(self) -> None:
        """Delete stores of other kinds, unless an image of an earlier call is only there."""
        others = [kind for kind in get_args(Kind) if kind not in ("files", self.layout.kind)]
        left = [kind for kind in others if kind in self._sources.finished]
        own = self._sources.finished.get(self.layout.kind)
        if left or (self.layout.kind == "files" and self._sources.work.names()):
            entries = [self.journal[image_id] for image_id in self.journal.image_ids()]
            if own is not None and all(recorded(own, entry.hashes) is not None for entry in entries):
                for kind in left:
                    self._sources.remove_finished(kind)
                self._sources.work.remove()

    def _remove_files(self, image_id: str, following: Entry) -> None:
        earlier = self.journal.get(image_id)
        if earlier is not None:
            self._sources.remove_files(earlier, following.hashes if self.layout.kind == "files" else {})


def _renamed(part: Mapping[str, bytes], other: str, image_id: str) -> dict[str, bytes]:
    """Entries of one image, named as those of another."""
    return {image_id + name[len(other) :]: content for name, content in part.items()}


# Finished masks for the stages that come later, whatever kind of store holds them.


class MaskReader:
    """Masks and probabilities by image; a context manager.

    Raises:
        InputError: there is no such store; or, from its methods, an image is missing or damaged.
    """

    def __init__(self, place: Place, kind: Kind, form: MaskForm, classes: Classes) -> None:
        self._layout = Layout(classes, form, kind)
        self._where = place.finished(kind)
        self._index = place.folder.parent.parent / "predictions" / f"{place.folder.name}.parquet"
        try:
            self._found = place.open(kind)
        except (OSError, ValueError):
            raise InputError(self._complaint(str(self._where))) from None

    @classmethod
    def of_shard(cls, masks: Path, predictions: pd.DataFrame, classes: Classes) -> "MaskReader":
        """That of a shard whose ``masks`` are there, in the kind of store and the form that the table of predictions
        names; without a row it may be any."""
        first: Any = predictions.iloc[0] if len(predictions) else {"masks": "files", "form": "per_class"}
        return cls(Place.of_shard(masks), first["masks"], first["form"], classes)

    def masks(self, image_id: str) -> np.ndarray:
        """The masks of an image, (classes, rows, columns) bool at the original size."""
        layout = self._layout
        names = layout.mask_names(image_id)
        try:
            return masks_of({name: self._found.read(name) for name in names}, layout.form, layout.classes)
        except (KeyError, OSError, ValueError):
            raise InputError(self._complaint(f"{names[0]} of {self._where}")) from None

    def probabilities(self, image_id: str) -> np.ndarray:
        """The probabilities of an image, float32 (classes, size, size) in the network's square.

        :func:`segpipe.preprocess.geometry.at_original_size` brings them to the picture's size.
        """
        for kind, ending in ENDINGS.items():
            names = replace(self._layout, probabilities=kind).probability_names(image_id)
            try:
                return np.stack([probability_of(name, self._found.read(name)) for name in names])
            except KeyError:
                continue
            except (OSError, ValueError):
                raise InputError(self._complaint(f"{image_id}.*{ending} of {self._where}")) from None
        raise InputError(
            f"{self._where} has no probabilities of {image_id}. Set predict.probabilities to uint8 or float16 and run "
            "again; all images are predicted once more."
        )

    def close(self) -> None:
        """Give open files back."""
        self._found.close()

    def __enter__(self) -> "MaskReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _complaint(self, what: str) -> str:
        return (
            f"The predicted mask {what} is missing or damaged. Delete {self._index} and run again; masks that are "
            "right are kept."
        )
