"""Stores that are kept beside the declared ones, so that a job which runs again finds its rows.

Snakemake deletes a job's outputs before it runs the job again. So each store is hard-linked into a folder that no rule
declares, ``kept/<shard>-<settings>-<table>/``: while both names exist it takes no space. The name says what the
store was made from, hence which of them can be of use without opening any.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segpipe.log import logger
from segpipe.preprocess.store import FILES

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


def present_tables(samples: Path) -> dict[str, str]:
    """Fingerprints of all sample tables by shard, as the scan left them; none where no scan did."""
    try:
        tables: dict[str, str] = json.loads((samples / "index.json").read_text(encoding="utf-8"))["shards"]
    except (OSError, ValueError, KeyError):
        return {}
    return tables


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
