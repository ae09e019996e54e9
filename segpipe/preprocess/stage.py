"""The preprocess stage: one shard of files becomes a shard store, one row per image whatever happens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.config.stages import PreprocessStage
from segpipe.files.atomic import remove_leftovers
from segpipe.files.space import check_space
from segpipe.log import logger, plain, track
from segpipe.masks.reference import mask_dtype
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from segpipe.preprocess.read import PRELOAD, Reading, image_reader, quarantined
from segpipe.preprocess.reuse import (
    Found,
    Search,
    keep,
    kept_as,
    list_kept,
    of_use,
    present_tables,
    remove_old,
    remove_unused,
    settings_hash,
)
from segpipe.preprocess.store import FILES, import_tables, stack_writer, write_rows
from segpipe.samples.sample import Sample, read_salt
from segpipe.samples.shards import fingerprint, read_table, shard_of


def preprocess_shard(
    stage: PreprocessStage, table: Path, output: Path, kept: Path | None = None, threads: int = 1
) -> None:
    """Bring every image of ``table`` into ``images.npy``, ``masks.npy`` and ``table.parquet`` of ``output``.

    Rows whose files and settings are those of a row in the folder ``kept`` are taken over from there, and the new
    store is kept there, too (:mod:`segpipe.preprocess.reuse`). The others are read in another process, so that a file
    which hangs or crashes a decoder costs its row. ``threads`` such processes read at the same time; the result is the
    same for any number. Memory is that of a few images for each, however large the shard.
    """
    remove_leftovers(output)
    made_from = fingerprint(table.read_bytes())
    samples = list(read_table(table))
    search = Search(stage, samples, settings_hash(stage), read_salt(stage.patient_salt_file))
    if kept:
        search.look_into(of_use(list_kept(kept), shard_of(table), present_tables(table)))
    rows = _write_store(stage, shard_of(table), samples, search.found, output, threads)
    if kept:
        mine = kept_as(kept, shard_of(table), search.settings, made_from)
        keep(output, mine)
        remove_old(mine, search.taken, search.rows)
        remove_unused(kept, present_tables(table))
    _log_outcome(shard_of(table), rows, len(search.found))


def _write_store(
    stage: PreprocessStage,
    shard: str,
    samples: Sequence[Sample],
    found: Mapping[int, Found],
    output: Path,
    threads: int,
) -> list[dict[str, Any]]:
    """Write the three files, from rows that were ``found`` (by number of the sample) and by reading; the rows."""
    shape = (stage.preprocess.size, stage.preprocess.size)
    no_image = np.zeros(shape, stage.preprocess.dtype)
    no_mask = np.zeros(shape, mask_dtype(len(stage.classes)))
    images_path, masks_path, table_path = (output / name for name in FILES)
    check_space(output, len(samples) * (no_image.nbytes + no_mask.nbytes), f"pictures and masks of shard {shard}")
    rows: list[dict[str, Any]] = []
    with (
        stack_writer(images_path, len(samples), shape, no_image.dtype) as images,
        stack_writer(masks_path, len(samples), shape, no_mask.dtype) as masks,
        _readings(stage, samples, found, threads) as readings,
    ):
        import_tables()  # while the first images are read
        for reading in track(readings, len(samples), f"preprocess {shard}"):
            images.append(no_image if reading.image is None else reading.image)
            masks.append(no_mask if reading.mask is None else reading.mask)
            rows.append(reading.row)
    write_rows(table_path, rows, stage.classes)
    return rows


@contextmanager
def _readings(
    stage: PreprocessStage, samples: Sequence[Sample], found: Mapping[int, Found], threads: int
) -> Iterator[Iterator[Reading]]:
    """What became of each sample, in order."""
    todo = [sample for number, sample in enumerate(samples) if number not in found]
    with isolated_map(image_reader, (stage,), todo, Limits(stage.seconds_per_image), threads, PRELOAD) as read:

        def one(number: int, sample: Sample) -> Reading:
            if number in found:
                return Reading(found[number].row, found[number].image, found[number].mask)
            reading = next(read)
            return Reading(quarantined(sample, reading.reason)) if isinstance(reading, ItemFailure) else reading

        yield (one(number, sample) for number, sample in enumerate(samples))


def _log_outcome(shard: str, rows: Sequence[dict[str, Any]], taken: int) -> None:
    bad = [row for row in rows if row["status"] == "quarantined"]
    for row in bad:
        logger.warning("quarantined %s: %s", plain(row["image"]), plain(row["reason"]))
    labelled = sum(row["status"] == "labelled" for row in rows)
    logger.info(
        "shard %s: %d images, %d taken over unchanged, %d read; %d labelled, %d quarantined",
        shard, len(rows), taken, len(rows) - taken, labelled, len(bad),
    )  # fmt: skip
