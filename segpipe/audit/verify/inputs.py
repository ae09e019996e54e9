"""Whether sample tables, inputs, stores and the dataset are still what was written and read.

Each check yields the findings of each thing that it compares in turn, none where it is as it was.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.audit.verify.run import Finding, Run, UnreadableError, read_columns
from segpipe.config.stages import PreprocessStage, ReportStage, stage_configs, stage_file, stage_text
from segpipe.dataset.stage import content_fingerprint
from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import read_json
from segpipe.files.source import file_stamp, hash_file
from segpipe.preprocess.store import FILES, picture_hashes
from segpipe.samples.sample import Sample, inside, mask_inside
from segpipe.samples.shards import fingerprint, read_table

UNSEEN = (
    "Restore the file: its size and time are as they were, so snakemake sees no change. If it is meant to be so, "
    "`touch` it and run snakemake."
)
CONTENT = ["image_id", "patient", "status", "content"]


def check_config(run: Run) -> Iterator[list[Finding]]:
    """Compare sample tables and stage configs with the last scan's fingerprints, and the config given with both."""
    tables = {run.samples(shard): wanted for shard, wanted in run.scan.shards.items()}
    stages = {run.folder / run.scan.stage(name): wanted for name, wanted in run.scan.stages.items()}
    for path, wanted in {**tables, **stages}.items():
        try:
            problem = "" if fingerprint(path.read_bytes()) == wanted else "is not what the scan wrote"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        advice = "Run snakemake: the scan writes {file} again, and what depends on it is made again."
        yield [Finding("config", path, problem, better_advice=advice)] if problem else []
    carried = run.stage("report", ReportStage).carried
    now = {name: fingerprint(stage_text(stage).encode()) for name, stage in stage_configs(run.config, carried).items()}
    for name in sorted({*now, *run.scan.stages}):
        same = now.get(name) == run.scan.stages.get(name)
        text = "the config that was given says something else for this stage than the one of the last run"
        yield (
            [] if same else [Finding("config", run.folder / stage_file(name, run.scan.stages.get(name, "none")), text)]
        )


def check_inputs(run: Run, stage: PreprocessStage, shard: str) -> Iterator[list[Finding]]:
    """Hash the files of every image of a shard again.

    Of quarantined images no hashes are recorded; of them only is asked whether they were read.
    """
    rows = read_columns(run.store(shard) / FILES[2], ("image_id", "status", "sha256", "mask_sha256"), "store")
    recorded = {row.image_id: row for row in rows.itertuples()}

    def check(sample: Sample) -> list[Finding]:
        row: Any = recorded.get(sample.image_id)
        if row is None:
            text = "was never read: the sample table is newer than the store"
            return [Finding("input", sample.image, text, sample.image_id, "Run snakemake.")]
        if row.status == "quarantined":
            return []
        return list(_check_files(sample, stage, row.sha256, str(row.mask_sha256 or "").split(" ")))

    yield from run.each(check, read_table(run.samples(shard)))


def _check_files(sample: Sample, stage: PreprocessStage, image: str, masks: list[str]) -> Iterator[Finding]:
    """``image`` and ``masks`` (by the sorted names of the sample's masks) are recorded hashes."""
    files: list[tuple[str, Callable[..., Path], str]] = [(sample.image, inside, image)]
    names = sorted(sample.masks)
    if len(masks) != len(names) and names:
        text = f"has {len(names)} mask files, but {len(masks)} were read"
        yield Finding("input", sample.image, text, sample.image_id, "Run snakemake.")
    else:
        files += [(sample.masks[name], mask_inside, wanted) for name, wanted in zip(names, masks, strict=False)]
    stamps = sample.stamp.split(" ")
    for path, locate, wanted in files:
        problem = _problem(locate, stage, path, wanted)
        if problem:
            unseen = file_stamp(stage.root / path) in stamps
            yield Finding("input", path, problem, sample.image_id, UNSEEN if unseen else "")


def _problem(locate: Callable[..., Path], stage: PreprocessStage, path: str, wanted: str) -> str:
    try:
        found = hash_file(locate(stage.root, path, stage.links))
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ImageError as error:
        return " ".join(str(error).split())
    return "" if found == wanted else f"has another hash than when it was read ({found[:12]} instead of {wanted[:12]})"


def check_store(run: Run, shard: str) -> Iterator[list[Finding]]:
    """Hash every stored picture of a shard and its masks again.

    Raises:
        UnreadableError: a file is missing, or the three do not belong together.
    """
    folder = run.store(shard)
    table = read_columns(folder / FILES[2], ("image_id", "status", "picture", "content"), "store")
    with ExitStack() as stack:
        images, masks = (stack.enter_context(closing(_Stack(folder / name, len(table)))) for name in FILES[:2])

        def check(row: Any) -> list[Finding]:
            if row.status == "quarantined":
                return []
            mask = masks.read(row.Index) if row.status == "labelled" else None
            picture, content = picture_hashes(images.read(row.Index), mask)
            if (picture, content) == (row.picture, row.content):
                return []
            name, what = (FILES[0], "picture") if picture != row.picture else (FILES[1], "mask")
            text = f"the stored {what} of row {row.Index} has another hash"
            return [Finding("store", folder / name, text, row.image_id)]

        yield from run.each(check, table.itertuples())


class _Stack:
    """The arrays of an .npy file by number, as bytes; several threads may read.

    They are read one at a time and not through a memory map, so memory stays that of a few.
    """

    def __init__(self, path: Path, count: int) -> None:
        try:
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UnreadableError(Finding("store", path, "is missing")) from None
        except (OSError, ValueError) as error:
            text = f"cannot be read ({type(error).__name__}: not whole, or no .npy file)"
            raise UnreadableError(Finding("store", path, text)) from None
        if len(stack) != count:
            text = f"holds {len(stack)} pictures, but table.parquet has {count} rows"
            raise UnreadableError(Finding("store", path, text))
        self._size = int(np.prod(stack.shape[1:])) * stack.dtype.itemsize
        self._offset = stack.offset
        self._file = path.open("rb")

    def read(self, number: int) -> bytes:
        return os.pread(self._file.fileno(), self._size, self._offset + number * self._size)

    def close(self) -> None:
        self._file.close()


def check_dataset(run: Run) -> Iterator[list[Finding]]:
    """Compare ``dataset.parquet`` with its fingerprint in ``dataset.json`` and, shard by shard, with the stores."""
    path, facts = run.folder / "dataset/dataset.parquet", run.folder / "dataset/dataset.json"
    images = read_columns(path, [*CONTENT, "fold", "shard"], "dataset")
    found = content_fingerprint(images[images["status"] == "labelled"])
    try:
        wanted = read_json(facts, "", "")["fingerprint"]
    except (InputError, KeyError, TypeError):
        raise UnreadableError(Finding("dataset", facts, "is missing or damaged")) from None
    if found != wanted:
        yield [Finding("dataset", path, "does not have the fingerprint that dataset.json says")]
    for shard in run.shards:
        store = read_columns(run.store(shard) / FILES[2], CONTENT, "store")
        own = images.loc[images["shard"] == shard, CONTENT].sort_values("image_id", ignore_index=True)
        same = own.equals(store.sort_values("image_id", ignore_index=True).astype(own.dtypes))
        yield [] if same else [Finding("dataset", path, f"its rows of shard {shard} are not those of the store")]
