"""Rows that were made before are taken over: found again by content, whatever the files are called now."""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segpipe.config.stages import PreprocessStage
from segpipe.errors import ImageError, InputError
from segpipe.files.source import MAX_FILE_BYTES
from segpipe.files.stamp import hash_file
from segpipe.log import logger
from segpipe.preprocess.store import FACTS, FILES, empty_row, open_stacks, picture_hashes, read_rows
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key
from segpipe.samples.scan import scan_with

# What a row of the store was made from: hashes of its files and of everything else that decides its pixels.
#
# Two rows of one recipe are the same picture with the same facts, wherever the files lie and whatever they are called.

# Where the files lie, who may read them, how long it may take and how patients are called decides no pixel.
_ELSEWHERE = {"root", "links", "patient_salt_file", "patient_salt_stamp", "seconds_per_image"}
_READERS = ("imagecodecs", "monai", "nibabel", "numpy", "pillow", "pydicom", "simplejpeg")


def settings_hash(stage: PreprocessStage) -> str:
    """A hash of the settings, of the versions of all that decodes and resizes, and of what a row consists of."""
    settings = stage.model_dump(mode="json", exclude=_ELSEWHERE)
    text = json.dumps([settings, FACTS, cv2.__version__, *map(_version, _READERS)])
    return hashlib.sha256(text.encode()).hexdigest()


def recipe(settings: str, invert: str, image: str, masks: Mapping[str, str]) -> str:
    """The recipe of a row: ``image`` and ``masks`` are SHA-256 of the files, ``invert`` is the sheet's word."""
    return hashlib.sha256(json.dumps([settings, invert, image, sorted(masks.items())]).encode()).hexdigest()


def salt_key(salt: bytes) -> str:
    """What tells one salt from another: keys from a Patient ID hold for one salt only."""
    return patient_key("segpipe/salt", salt)


def recipe_of_files(sample: Sample, stage: PreprocessStage, settings: str) -> str:
    """The recipe of a sample's files as they are now; "" where a reader has to say what is wrong with them."""
    try:
        image = _hash(inside(stage.root, sample.image, stage.links))
        masks = {name: _hash(mask_inside(stage.root, path, stage.links)) for name, path in sample.masks.items()}
    except (ImageError, OSError, ValueError):
        return ""
    return recipe(settings, sample.invert, image, masks)


def file_size(sample: Sample, stage: PreprocessStage) -> int:
    """The image's size in bytes; -1 where it has none."""
    try:
        return os.stat(stage.root / sample.image).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return -1


def _hash(path: Path) -> str:
    """SHA-256 of a regular file that a reader would take."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_FILE_BYTES:
        raise ImageError("is for the reader to refuse")
    return hash_file(path)


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


# Stores that are kept beside the declared ones, so that a job which runs again finds its rows.
#
# Snakemake deletes a job's outputs before it runs the job again. So each store is hard-linked into a folder that no
# rule
# declares, ``kept/<shard>-<settings>-<table>/``: while both names exist it takes no space. The name says what the
# store was made from, hence which of them can be of use without opening any.

_NAME = re.compile(r"(\d+)-([0-9a-f]{16})-([0-9a-f]{16})")


@dataclass(frozen=True)
class Kept:
    """One kept store: of ``shard``, made with ``settings`` from the sample table ``table`` (16 digits of a hash)."""

    folder: Path
    shard: str
    settings: str
    table: str

    @property
    def written(self) -> int:
        """When its table was written, in ns; 0 where it is gone."""
        try:
            return (self.folder / FILES[2]).stat().st_mtime_ns
        except OSError:
            return 0

    def remove(self) -> None:
        """Delete the folder; others may do so at the same time."""
        shutil.rmtree(self.folder, ignore_errors=True)


def kept_as(folder: Path, shard: str, settings: str, table: str) -> Kept:
    """The kept store of this name, whether or not it exists."""
    settings, table = settings[:16], table[:16]
    return Kept(folder / f"{shard}-{settings}-{table}", shard, settings, table)


def list_kept(folder: Path) -> list[Kept]:
    """All kept stores, sorted by name."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return []
    matches = filter(None, map(_NAME.fullmatch, names))
    return [Kept(folder / match[0], *match.groups()) for match in matches]


def in_order(kept: list[Kept], shard: str) -> Iterator[Kept]:
    """The shard's own stores first, then those whose numbers agree in most of their last bits.

    When the number of shards doubles or halves, rows move between such shards only
    (:func:`segpipe.samples.shards.shard_name`).
    """
    own = int(shard)

    def last_bits(other: Kept) -> int:
        differs = own ^ int(other.shard)
        return differs & -differs or 1 << 62

    return iter(sorted(kept, key=last_bits, reverse=True))


def of_use(kept: list[Kept], shard: str, tables: Mapping[str, str]) -> Iterator[Kept]:
    """Those in which a job of ``shard`` may find rows, in order: its own, and those that no present table names.

    A row that left another shard is in that shard's older store. Present stores of others are passed over: else every
    job with a new image would open all of them, at a cost that grows with the square of the shards.
    """
    return in_order([other for other in kept if other.shard == shard or tables.get(other.shard) != other.table], shard)


def keep(store: Path, kept: Kept) -> None:
    """Link the files of ``store``; where the file system has no hard links, say so and keep nothing."""
    kept.remove()
    try:
        _link(store, kept.folder)
    except OSError as error:
        logger.warning(
            "this store is not kept for later (hard links: %s); when the shard changes, all of it is read again",
            error.strerror,
        )


def _link(store: Path, folder: Path) -> None:
    """Hard links of a store's files in a new folder, which appears when it is whole."""
    folder.parent.mkdir(exist_ok=True)
    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)  # of a job that was killed
    temporary.mkdir()
    try:
        for name in FILES:
            os.link(store / name, temporary / name)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_old(kept: Kept, taken: Mapping[Path, int], rows: Mapping[Path, int]) -> None:
    """Delete older stores of the same shard, except the newest one that holds rows which another shard may want.

    ``taken`` and ``rows`` say how many rows of a store went into the new one, and how many it has.
    """
    older = [other for other in list_kept(kept.folder.parent) if other.shard == kept.shard and other != kept]
    useful = [
        other
        for other in older
        if other.settings == kept.settings and taken.get(other.folder, 0) < rows.get(other.folder, 1)
    ]
    newest = max(useful, key=lambda other: other.written, default=None)
    for other in older:
        if other != newest:
            other.remove()


def present_tables(table: Path) -> dict[str, str]:
    """Fingerprints by shard of all sample tables of the run that ``table`` belongs to; none where no scan names it."""
    found = scan_with(table)
    return found.shards if found else {}


def unused(folder: Path, tables: Mapping[str, str]) -> list[Kept]:
    """Kept stores that belong to no present sample table; ``tables`` are the tables' fingerprints by shard.

    None before every shard has a store of its present table: until then a job may still look for rows.
    """
    stores = list_kept(folder)
    if not tables or not {(kept.shard, kept.table) for kept in stores} >= set(tables.items()):
        return []
    return [kept for kept in stores if tables.get(kept.shard) != kept.table]


def remove_unused(folder: Path, tables: Mapping[str, str]) -> None:
    """Delete them."""
    for kept in unused(folder, tables):
        logger.info("removed %s: all shards are made, and none took more from it", kept.folder)
        kept.remove()


# Rows that were made before: found again by content, whatever the files are called now.
#
# A row is taken over when hashes of all its files and everything that decides its pixels agree (:mod:`recipe`), and
# the stored picture is what the row says. Then it is what reading the files again would give.

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
