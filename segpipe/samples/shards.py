"""Shards: the unit of jobs. All images of a patient share one, and adding images moves none."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from segpipe.io.stamp import file_stamp
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


def shard_of(sample: Sample, count: int) -> str:
    """The shard's name, from the patient, or from the image where no patient is known."""
    number = int(unit_hash(f"shard/{sample.patient or sample.image_id}") * count)
    return f"{number:04d}"


def into_shards(samples: Iterable[Sample], count: int) -> dict[str, list[Sample]]:
    """Samples by shard, sorted by ``image_id`` within; empty shards do not appear."""
    shards: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.image_id):
        shards.setdefault(shard_of(sample, count), []).append(sample)
    return dict(sorted(shards.items()))


def table_text(samples: Sequence[Sample], root: Path, mask_names: Sequence[str], carried: Sequence[str]) -> str:
    """A shard's sample table as CSV; ``stamp`` changes when any of the row's files does."""
    text = io.StringIO()
    folder = str(root)  # joining paths as text, because this runs for every file of an archive
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED_COLUMNS, *(mask_column(name) for name in mask_names), *map(carried_column, carried)])
    for sample in samples:
        files = [sample.image, *sample.masks.values()]
        stamp = " ".join(file_stamp(f"{folder}/{file}") for file in files)
        fixed = [sample.image_id, sample.image, sample.patient, sample.site, sample.fold, sample.invert, stamp]
        masks = [sample.masks.get(name, "") for name in mask_names]
        writer.writerow([*fixed, *masks, *(sample.carried.get(name, "") for name in carried)])
    return text.getvalue()


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
