"""The preprocess stage: one shard of files becomes a shard store, one row per image whatever happens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.config.stages import PreprocessStage
from segpipe.files.atomic import remove_leftovers
from segpipe.files.space import check_space
from segpipe.log import logger, plain, track
from segpipe.masks.reference import mask_dtype
from segpipe.preprocess.read import read_images
from segpipe.preprocess.reuse import RowReuse
from segpipe.preprocess.store import FILES, Reading, import_tables, stack_writer, write_rows
from segpipe.samples.sample import Sample
from segpipe.samples.shards import read_table, shard_of


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
    samples, shard = list(read_table(table)), shard_of(table)
    reuse = RowReuse(kept, stage, table, samples)
    found = reuse.find()
    rows = _write_store(stage, shard, samples, found, output, threads)
    reuse.keep(output)
    _log_outcome(shard, rows, len(found))


def _write_store(
    stage: PreprocessStage,
    shard: str,
    samples: Sequence[Sample],
    found: Mapping[int, Reading],
    output: Path,
    threads: int,
) -> list[dict[str, Any]]:
    """Write the three files, from what was ``found`` (by number of the sample) and by reading the rest; the rows."""
    shape = (stage.preprocess.size, stage.preprocess.size)
    no_image = np.zeros(shape, stage.preprocess.dtype)
    no_mask = np.zeros(shape, mask_dtype(len(stage.classes)))
    images_path, masks_path, table_path = (output / name for name in FILES)
    check_space(output, len(samples) * (no_image.nbytes + no_mask.nbytes), f"pictures and masks of shard {shard}")
    todo = [sample for number, sample in enumerate(samples) if number not in found]
    rows: list[dict[str, Any]] = []
    with (
        stack_writer(images_path, len(samples), shape, no_image.dtype) as images,
        stack_writer(masks_path, len(samples), shape, no_mask.dtype) as masks,
        read_images(todo, stage, threads) as readings,
    ):
        import_tables()  # while the first images are read
        for number, _ in enumerate(track(samples, len(samples), f"preprocess {shard}")):
            reading = found[number] if number in found else next(readings)
            images.append(no_image if reading.image is None else reading.image)
            masks.append(no_mask if reading.mask is None else reading.mask)
            rows.append(reading.row)
    write_rows(table_path, rows, stage.classes)
    return rows


def _log_outcome(shard: str, rows: Sequence[dict[str, Any]], taken: int) -> None:
    bad = [row for row in rows if row["status"] == "quarantined"]
    for row in bad:
        logger.warning("quarantined %s: %s", plain(row["image"]), plain(row["reason"]))
    labelled = sum(row["status"] == "labelled" for row in rows)
    logger.info(
        "shard %s: %d images, %d taken over unchanged, %d read; %d labelled, %d quarantined",
        shard, len(rows), taken, len(rows) - taken, labelled, len(bad),
    )  # fmt: skip
