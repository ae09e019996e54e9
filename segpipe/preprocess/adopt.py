"""Rows that were made before: found again by content, whatever the files are called now.

A row is taken over when hashes of all its files and everything that decides its pixels agree (:mod:`recipe`), and
the stored picture is what the row says. Then it is what reading the files again would give.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.errors import InputError
from segpipe.log import logger
from segpipe.preprocess.kept import Kept
from segpipe.preprocess.recipe import file_size, recipe_of_files, salt_key
from segpipe.preprocess.rows import FACTS, empty_row, read_rows
from segpipe.preprocess.store import FILES, open_stacks, picture_hashes
from segpipe.samples.sample import Sample, patient_key
from segpipe.stages import PreprocessStage

THREADS = 4  # that hash: they wait for the disk most of the time
_LOOKED_UP = ("recipe", "file_bytes")


@dataclass(frozen=True)
class Found:
    """A row that was made before, with its pictures; ``mask`` is None where the image has none."""

    row: dict[str, Any]
    image: np.ndarray  # (size, size), of preprocess.dtype, in a memory map
    mask: np.ndarray | None  # (size, size), bit i = class i


@dataclass
class Search:
    """The samples of a shard, and what was found of them."""

    stage: PreprocessStage
    samples: Sequence[Sample]
    settings: str
    salt: bytes
    found: dict[int, Found] = field(default_factory=dict)  # by number of the sample
    taken: dict[Path, int] = field(default_factory=dict)  # how many rows of which store, copies counted once
    rows: dict[Path, int] = field(default_factory=dict)  # of how many

    def __post_init__(self) -> None:
        self._recipes: dict[int, str] = {}
        self._sizes: list[int] = []

    def look_into(self, stores: Iterable[Kept]) -> None:
        """Take over rows of one store after the other, until nothing is missing.

        Files are hashed only where a store has a row of an image of that size, and once.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for store in stores:
                if len(self.found) == len(self.samples):
                    return
                if store.settings == self.settings[:16]:
                    try:
                        self._look_into(store, pool)
                    except FileNotFoundError:
                        continue  # another job was the last that could want it
                    except (OSError, ValueError, InputError) as error:
                        logger.warning("%s cannot be read (%s); its rows are read anew", store.folder, error)

    def _look_into(self, store: Kept, pool: ThreadPoolExecutor) -> None:
        table = read_rows(store.folder / FILES[2], _LOOKED_UP)
        made, sizes = (table.column(name).to_pylist() for name in _LOOKED_UP)
        places = {recipe: place for place, recipe in enumerate(made) if recipe}
        self.rows[store.folder] = len(places)
        self._hash(set(sizes), pool)
        wanted = {number: places[recipe] for number, recipe in self._missing() if recipe in places}
        if not wanted:
            return
        rows = read_rows(store.folder / FILES[2]).take(sorted(set(wanted.values()))).to_pylist()
        by_place = dict(zip(sorted(set(wanted.values())), rows, strict=True))
        images, masks = open_stacks(store.folder)
        if not len(images) == len(masks) == len(made):
            raise InputError(f"{len(images)} images, {len(masks)} masks and {len(made)} rows")

        def check(place: int) -> bool:
            row = by_place[place]
            mask = masks[place].data if row["status"] == "labelled" else None
            _, content = picture_hashes(images[place].data, mask)
            return bool(content == row["content"])

        intact = dict(zip(by_place, pool.map(check, by_place), strict=True))
        damaged = sorted(place for place, right in intact.items() if not right)
        if damaged:
            logger.warning(
                "%s: %d pictures are not what their rows say, as row %d; the disk or somebody changed them. "
                "They are read anew",
                store.folder, len(damaged), damaged[0],
            )  # fmt: skip
        used = set()
        for number, place in wanted.items():
            row = present_row(by_place[place], self.samples[number], self.salt) if intact[place] else None
            if row:
                mask = masks[place] if row["status"] == "labelled" else None
                self.found[number] = Found(row, images[place], mask)
                used.add(place)
        self.taken[store.folder] = len(used)

    def _missing(self) -> Iterable[tuple[int, str]]:
        return [(number, recipe) for number, recipe in self._recipes.items() if recipe and number not in self.found]

    def _hash(self, sizes: set[int], pool: ThreadPoolExecutor) -> None:
        """Hash the files of samples whose image has one of these sizes, unless that was done."""
        if not self._sizes:
            self._sizes = [file_size(sample, self.stage) for sample in self.samples]
        todo = [number for number, size in enumerate(self._sizes) if size in sizes and number not in self._recipes]

        def made_from(number: int) -> str:
            return recipe_of_files(self.samples[number], self.stage, self.settings)

        self._recipes.update(zip(todo, pool.map(made_from, todo), strict=True))


def present_row(row: Mapping[str, Any], sample: Sample, salt: bytes) -> dict[str, Any] | None:
    """An old row as the row of ``sample``; None where only the file can tell the patient.

    What hangs on the sheet, the pattern or the path comes from the sample, all else from the row.
    """
    patient = _patient(row, sample, salt)
    if patient is None:
        return None
    own = empty_row(sample)
    facts = {name: value for name, value in row.items() if name in FACTS or name.startswith("mask_share_")}
    # In the order of a row that was read: the shares of classes come with the facts, after the carried columns.
    made = own | facts | {"status": row["status"], "salt_key": salt_key(salt)}
    return made | dict(zip(("patient", "patient_source"), patient, strict=True))


def _patient(row: Mapping[str, Any], sample: Sample, salt: bytes) -> tuple[str, str] | None:
    if sample.patient:
        return sample.patient, "sheet or pattern"
    if row["patient_source"] == "PatientID":
        return (row["patient"], "PatientID") if row["salt_key"] == salt_key(salt) else None
    if row["patient_source"] == "image" or row["format"] != "DICOM":  # other formats name no patient
        return patient_key(f"image/{sample.image_id}", salt), "image"
    return None
