"""Rows that were made before are taken over: found by what they were made from, across shards and renames.

A row's cache key is a hash of its files and of everything else that decides its pixels. Rows of one key are the same
picture with the same facts, wherever the files lie and whatever they are called. So a row is taken over where a sample
has its key and the stored picture is what the row says; it is then what reading the files again would give.

Snakemake deletes a job's outputs before it runs the job again. So each store is hard-linked into a folder that no rule
declares, ``kept/<shard>-<settings>-<table>/``: while both names exist it takes no space. The name says what the store
was made from, hence which of them can be of use without opening any.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2

from segpipe.config.stages import PreprocessStage
from segpipe.errors import ImageError, InputError
from segpipe.files.source import MAX_FILE_BYTES, hash_file
from segpipe.log import logger
from segpipe.preprocess.store import FACTS, FILES, Reading, empty_row, open_stacks, picture_hashes, read_rows
from segpipe.samples.sample import Sample, inside, mask_inside, patient_key, read_salt
from segpipe.samples.scan import scan_with
from segpipe.samples.shards import fingerprint, shard_of

# Where the files lie, who may read them, how long it may take and how patients are called decides no pixel.
_ELSEWHERE = {"root", "links", "patient_salt_file", "patient_salt_stamp", "seconds_per_image"}
_READERS = ("imagecodecs", "monai", "nibabel", "numpy", "pillow", "pydicom", "simplejpeg")
_NAME = re.compile(r"(\d+)-([0-9a-f]{16})-([0-9a-f]{16})")
_THREADS = 4  # that hash: they wait for the disk most of the time


def settings_hash(stage: PreprocessStage) -> str:
    """A hash of the settings, of the versions of all that decodes and resizes, and of what a row consists of."""
    settings = stage.model_dump(mode="json", exclude=_ELSEWHERE)
    text = json.dumps([settings, FACTS, cv2.__version__, *map(_version, _READERS)])
    return hashlib.sha256(text.encode()).hexdigest()


def cache_key(settings: str, invert: str, image: str, masks: Mapping[str, str]) -> str:
    """The key of a row: ``image`` and ``masks`` are SHA-256 of the files, ``invert`` is the sheet's word."""
    return hashlib.sha256(json.dumps([settings, invert, image, sorted(masks.items())]).encode()).hexdigest()


def salt_key(salt: bytes) -> str:
    """What tells one salt from another: keys from a Patient ID hold for one salt only."""
    return patient_key("segpipe/salt", salt)


@dataclass(frozen=True)
class KeptStore:
    """One kept store: of ``shard``, made with ``settings`` from the sample table ``table`` (16 digits of a hash)."""

    folder: Path
    shard: str
    settings: str
    table: str

    def written(self) -> int:
        """When its table was written, in ns; 0 where it is gone."""
        try:
            return (self.folder / FILES[2]).stat().st_mtime_ns
        except OSError:
            return 0

    def remove(self) -> None:
        """Delete the folder; others may do so at the same time."""
        shutil.rmtree(self.folder, ignore_errors=True)


def kept_as(folder: Path, shard: str, settings: str, table: str) -> KeptStore:
    """The kept store of this name, whether or not it exists."""
    settings, table = settings[:16], table[:16]
    return KeptStore(folder / f"{shard}-{settings}-{table}", shard, settings, table)


def list_kept(folder: Path) -> list[KeptStore]:
    """All kept stores, sorted by name."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return []
    return [KeptStore(folder / match[0], *match.groups()) for match in filter(None, map(_NAME.fullmatch, names))]


def of_use(kept: Sequence[KeptStore], shard: str, tables: Mapping[str, str]) -> list[KeptStore]:
    """Those in which a job of ``shard`` may find rows: its own, and those that no present table names.

    A row that left another shard is in that shard's older store. Present stores of others are passed over: else every
    job with a new image would open all of them, at a cost that grows with the square of the shards. The shard's own
    come first, then those whose numbers agree in most of their last bits: when the number of shards doubles or halves,
    rows move between such shards only (:func:`segpipe.samples.shards.shard_name`).
    """

    def last_bits(store: KeptStore) -> int:
        differs = int(shard) ^ int(store.shard)
        return differs & -differs or 1 << 62

    found = [store for store in kept if store.shard == shard or tables.get(store.shard) != store.table]
    return sorted(found, key=last_bits, reverse=True)


def present_tables(table: Path) -> dict[str, str]:
    """Fingerprints by shard of all sample tables of the run that ``table`` belongs to; none where no scan names it."""
    found = scan_with(table)
    return found.shards if found else {}


def unused(folder: Path, tables: Mapping[str, str]) -> list[KeptStore]:
    """Kept stores that belong to no present sample table; ``tables`` are the tables' fingerprints by shard.

    None before every shard has a store of its present table: until then a job may still look for rows.
    """
    stores = list_kept(folder)
    if not tables or not {(store.shard, store.table) for store in stores} >= set(tables.items()):
        return []
    return [store for store in stores if tables.get(store.shard) != store.table]


def remove_unused(folder: Path, tables: Mapping[str, str]) -> None:
    """Delete them."""
    for store in unused(folder, tables):
        logger.info("removed %s: all shards are made, and none took more from it", store.folder)
        store.remove()


class RowReuse:
    """The samples of a shard's table, and what the stores in the folder ``kept`` (None: nothing) have of them."""

    def __init__(self, kept: Path | None, stage: PreprocessStage, table: Path, samples: Sequence[Sample]) -> None:
        self._kept, self._stage, self._table, self._samples = kept, stage, table, samples
        self._settings, self._salt = settings_hash(stage), read_salt(stage.patient_salt_file)
        self._made_from = fingerprint(table.read_bytes())
        self._found: dict[int, Reading] = {}
        self._sizes: list[int] = []  # of the samples' images
        self._keys: dict[int, str] = {}  # of the samples whose files were hashed
        self._taken: dict[Path, int] = {}  # how many rows of which store, copies counted once
        self._rows: dict[Path, int] = {}  # of how many

    def find(self) -> dict[int, Reading]:
        """What was made before, by number of the sample; pictures are in memory maps.

        Files are hashed only where a store has a row of an image of that size, and once.
        """
        if self._kept is None:
            return {}
        kept = of_use(list_kept(self._kept), shard_of(self._table), present_tables(self._table))
        with ThreadPoolExecutor(_THREADS) as pool:
            for store in kept:
                if len(self._found) == len(self._samples):
                    break
                if store.settings != self._settings[:16]:
                    continue
                try:
                    self._look_into(store, pool)
                except FileNotFoundError:
                    continue  # another job was the last that could want it
                except (OSError, ValueError, InputError) as error:
                    logger.warning("%s cannot be read (%s); its rows are read again", store.folder, error)
        return self._found

    def keep(self, store: Path) -> None:
        """Keep the finished store, and delete those of which no job will want more.

        Where the file system has no hard links, this says so and keeps nothing.
        """
        if self._kept is None:
            return
        mine = kept_as(self._kept, shard_of(self._table), self._settings, self._made_from)
        mine.remove()
        try:
            _link(store, mine.folder)
        except OSError as error:
            logger.warning(
                "this store is not kept for later (hard links: %s); when the shard changes, all of it is read again",
                error.strerror,
            )
        self._remove_older(mine)
        remove_unused(self._kept, present_tables(self._table))

    def _look_into(self, store: KeptStore, pool: ThreadPoolExecutor) -> None:
        table = read_rows(store.folder / FILES[2], ("cache_key", "file_bytes"))
        keys, sizes = table.column("cache_key").to_pylist(), table.column("file_bytes").to_pylist()
        places = {key: place for place, key in enumerate(keys) if key}
        self._rows[store.folder] = len(places)
        self._hash_files(set(sizes), pool)
        missing = ((number, key) for number, key in self._keys.items() if number not in self._found)
        wanted = {number: places[key] for number, key in missing if key in places}
        if not wanted:
            return
        readings = _readings(store, sorted(set(wanted.values())), len(keys))
        intact = dict(zip(readings, pool.map(_is_intact, readings.values()), strict=True))
        damaged = sorted(place for place, right in intact.items() if not right)
        if damaged:
            logger.warning(
                "%s: %d pictures are not what their rows say, as row %d; the disk or somebody changed them. "
                "They are read again",
                store.folder, len(damaged), damaged[0],
            )  # fmt: skip
        used = set()
        for number, place in wanted.items():
            row = present_row(readings[place].row, self._samples[number], self._salt) if intact[place] else None
            if row:
                self._found[number] = replace(readings[place], row=row)
                used.add(place)
        self._taken[store.folder] = len(used)

    def _hash_files(self, sizes: set[int], pool: ThreadPoolExecutor) -> None:
        """Keys of the samples whose image has one of these sizes, unless they are known."""

        def key_of(number: int) -> str:
            return key_of_files(self._samples[number], self._stage, self._settings)

        self._sizes = self._sizes or [file_size(sample, self._stage) for sample in self._samples]
        todo = [number for number, size in enumerate(self._sizes) if size in sizes and number not in self._keys]
        self._keys.update(zip(todo, pool.map(key_of, todo), strict=True))

    def _remove_older(self, mine: KeptStore) -> None:
        """Delete older stores of this shard, except the newest one that holds rows which another shard may want."""
        older = [store for store in list_kept(mine.folder.parent) if store.shard == mine.shard and store != mine]
        useful = [
            store
            for store in older
            if store.settings == mine.settings and self._taken.get(store.folder, 0) < self._rows.get(store.folder, 1)
        ]
        newest = max(useful, key=KeptStore.written, default=None)
        for store in older:
            if store != newest:
                store.remove()


def key_of_files(sample: Sample, stage: PreprocessStage, settings: str) -> str:
    """The cache key of a sample's files as they are now; "" where a reader has to say what is wrong with them."""
    try:
        image = _hash(inside(stage.root, sample.image, stage.links))
        masks = {name: _hash(mask_inside(stage.root, path, stage.links)) for name, path in sample.masks.items()}
    except (ImageError, OSError, ValueError):
        return ""
    return cache_key(settings, sample.invert, image, masks)


def file_size(sample: Sample, stage: PreprocessStage) -> int:
    """The image's size in bytes; -1 where it has none."""
    try:
        return os.stat(stage.root / sample.image).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return -1


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


def _readings(store: KeptStore, places: Sequence[int], count: int) -> dict[int, Reading]:
    """Rows and pictures of a store of ``count`` images at these places."""
    rows = read_rows(store.folder / FILES[2]).take(places).to_pylist()
    images, masks = open_stacks(store.folder)
    if not len(images) == len(masks) == count:
        raise InputError(f"{len(images)} images, {len(masks)} masks and {count} rows")
    return {
        place: Reading(row, images[place], masks[place] if row["status"] == "labelled" else None)
        for place, row in zip(places, rows, strict=True)
    }


def _is_intact(reading: Reading) -> bool:
    assert reading.image is not None
    _, content = picture_hashes(reading.image.data, None if reading.mask is None else reading.mask.data)
    return bool(content == reading.row["content"])


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
