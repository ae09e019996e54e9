"""Shards: the unit of jobs. All images of a patient share one, and adding images moves none."""

import csv
import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from segpipe.errors import InputError
from segpipe.samples.sample import Sample

IMAGES_PER_SHARD = 512
FIXED_COLUMNS = ("image_id", "image", "patient", "site", "fold", "invert", "stamp")


def shard_count(images: int, wanted: Literal["auto"] | int) -> int:
    """A power of two, so that growing splits shards instead of reshuffling them."""
    if wanted != "auto":
        return wanted
    count = 1
    while count * IMAGES_PER_SHARD < images:
        count *= 2
    return count


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def shard_hash(sample: Sample) -> int:
    """A number of 48 bits from the patient, or from the image where no patient is known."""
    return int.from_bytes(hashlib.sha256(f"shard/{sample.patient or sample.image_id}".encode()).digest()[:6], "big")


def shard_name(number: int, count: int) -> str:
    """The shard of a :func:`shard_hash`: its last bits, so that of twice as many shards each has half of an old one."""
    return f"{number % count:04d}"


def table_name(shard: str, fingerprint: str) -> str:
    """The file of a shard's sample table, by the :func:`fingerprint` of its content."""
    return f"{shard}-{fingerprint}.csv"


def shard_of(table: Path) -> str:
    """The shard of a file that :func:`table_name` named."""
    return table.stem.partition("-")[0]


def fingerprint(content: bytes) -> str:
    """16 digits that tell one text from another."""
    return hashlib.sha256(content).hexdigest()[:16]


class Tables:
    """Collects samples as lines of their tables: what of a million images is held in memory."""

    def __init__(self, masks: Sequence[str], carried: Sequence[str]) -> None:
        self._masks, self._carried = masks, carried
        self._lines: list[str] = []
        self._hashes = array("Q")
        self._writer = csv.writer(_Lines(self._lines), lineterminator="\n")
        self._seen: set[int] = set()
        self._collided = False

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, sample: Sample) -> None:
        """Append a sample's line."""
        fixed = (sample.image_id, sample.image, sample.patient, sample.site, sample.fold, sample.invert, sample.stamp)
        masks = (sample.masks.get(name, "") for name in self._masks)
        self._writer.writerow((*fixed, *masks, *(sample.carried.get(name, "") for name in self._carried)))
        self._hashes.append(shard_hash(sample))
        # Case-folded: two ids that differ in case only are one file on some file systems. Numbers take less than texts.
        number = hash(sample.image_id.casefold())
        self._collided |= number in self._seen
        self._seen.add(number)

    def check_ids(self) -> None:
        """Refuse two images of one id (:func:`check_ids`)."""
        if self._collided:
            check_ids(csv.reader(self._lines))

    def by_shard(self, count: int) -> Iterator[tuple[str, int, str]]:
        """Name, number of images and text of each table, sorted by name; empty shards do not appear. Ends this object.

        Lines are sorted by ``image_id``, which is never quoted.
        """
        self._seen.clear()
        members: dict[str, list[str]] = {}
        for line, number in zip(self._lines, self._hashes, strict=True):
            members.setdefault(shard_name(number, count), []).append(line)
        self._lines.clear()
        columns = (*FIXED_COLUMNS, *map(mask_column, self._masks), *map(carried_column, self._carried))
        header: list[str] = []
        csv.writer(_Lines(header), lineterminator="\n").writerow(columns)
        for shard in sorted(members):
            lines = sorted(members.pop(shard), key=lambda line: line.partition(",")[0])
            yield shard, len(lines), "".join([*header, *lines])


class _Lines:
    """A file for csv.writer that keeps what is written in a list, an entry for each row."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def check_ids(rows: Iterable[Sequence[str]]) -> None:
    """Refuse two images of one id; rows start with id and path.

    Raises:
        InputError: names them.
    """
    paths: dict[str, list[str]] = {}
    for image_id, path, *_ in rows:
        paths.setdefault(image_id.casefold(), []).append(path)
    twice = [name for name, found in paths.items() if len(found) > 1]
    if twice:
        raise InputError(
            f"{len(twice)} image ids belong to several images; the first is {twice[0]!r}: "
            f"{', '.join(paths[twice[0]][:4])}. "
            "An id names one row of the report and one mask file, and is the path after the pattern's first folders. "
            "Begin the pattern's wildcards higher up ({site}/{patient}.png), give the sheet a column image_id, or list "
            "one of the files only."
        )


def read_table(path: Path) -> Iterator[Sample]:
    """The samples of a shard's table, as :func:`table_text` wrote them."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Sample(
                image_id=row["image_id"],
                image=row["image"],
                masks={_name(key, "mask"): value for key, value in row.items() if _is(key, "mask") and value},
                patient=row["patient"],
                site=row["site"],
                fold=row["fold"],
                invert=row["invert"],
                carried={_name(key, "carried"): value for key, value in row.items() if _is(key, "carried")},
                stamp=row["stamp"],
            )


def mask_column(name: str) -> str:
    """Column of a class's mask path; the file for all classes has no class name."""
    return f"mask:{name}"


def carried_column(name: str) -> str:
    """Column of a carried value, prefixed so that the sheet's names cannot clash with ours."""
    return f"carried:{name}"


def _is(column: str, prefix: str) -> bool:
    return column.startswith(f"{prefix}:")


def _name(column: str, prefix: str) -> str:
    return column.removeprefix(f"{prefix}:")
