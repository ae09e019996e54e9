"""Whether inputs, stores, sample tables and the dataset are still what was read and written."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.audit.verify.finding import STORE_ADVICE, Finding, Run, UnreadableError, read_columns
from segpipe.config.stages import PreprocessStage, ReportStage, load_stage, stage_configs, stage_file, stage_text
from segpipe.dataset.stage import content_fingerprint
from segpipe.errors import ImageError
from segpipe.files.stamp import file_stamp, hash_file
from segpipe.preprocess.store import FILES, picture_hashes
from segpipe.samples.sample import Sample, inside, mask_inside
from segpipe.samples.shards import fingerprint, read_table

# Whether images and masks are still the files that were read.

INPUT_COLUMNS = ("image_id", "status", "sha256", "mask_sha256")
CHANGED = "Restore the file; or, if it is meant to be so, run snakemake, which takes it in."
UNSEEN = (
    "Restore the file: its size and time are as they were, so snakemake sees no change. If it is meant to be so, "
    "`touch` it and run snakemake."
)


def check_inputs(run: Run, stage: PreprocessStage, shard: str) -> Iterator[list[Finding]]:
    """Hash the files of every image of a shard again; yields the findings of each image in turn.

    Of quarantined images no hashes are recorded; of them only is asked whether the file is there.
    """
    folder = run.folder / "shards" / shard
    table = read_columns(folder / FILES[2], INPUT_COLUMNS, "store", STORE_ADVICE.format(folder=folder))
    recorded = {row.image_id: (row.status, row.sha256, row.mask_sha256) for row in table.itertuples()}

    def check(sample: Sample) -> list[Finding]:
        if sample.image_id not in recorded:
            text = "was never read: the sample table is newer than the store"
            return [Finding("input", sample.image, text, "Run snakemake.", sample.image_id)]
        status, image, masks = recorded[sample.image_id]
        if status == "quarantined":
            return []
        return list(_check_files(sample, stage, str(image), str(masks or "").split(" ")))

    yield from run.each(check, read_table(run.folder / "samples" / f"{shard}.csv"))


def _check_files(sample: Sample, stage: PreprocessStage, image: str, masks: list[str]) -> Iterator[Finding]:
    """``image`` and ``masks`` (by the sorted names of the sample's masks) are recorded hashes."""
    files = [(sample.image, inside, image)]
    names = sorted(sample.masks)
    if len(masks) != len(names) and names:
        text = f"has {len(names)} mask files, but {len(masks)} were read"
        yield Finding("input", sample.image, text, "Run snakemake.", sample.image_id)
    else:
        files += [(sample.masks[name], mask_inside, wanted) for name, wanted in zip(names, masks, strict=False)]
    stamps = sample.stamp.split(" ")
    for path, locate, wanted in files:
        problem = _problem(locate, stage, path, wanted)
        if problem:
            unseen = file_stamp(stage.root / path) in stamps
            yield Finding("input", path, problem, UNSEEN if unseen else CHANGED, sample.image_id)


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


# Whether the stored pictures are those that were read.

STORE_COLUMNS = ("image_id", "status", "picture", "content")


def check_store(run: Run, shard: str) -> Iterator[list[Finding]]:
    """Hash every picture and its masks again; yields the findings of each image in turn.

    The stacks are read one picture at a time and not through a memory map, so memory stays that of a few.

    Raises:
        UnreadableError: a file is missing, or the three do not belong together.
    """
    folder = run.folder / "shards" / shard
    advice = STORE_ADVICE.format(folder=folder)
    table = read_columns(folder / FILES[2], STORE_COLUMNS, "store", advice)
    with ExitStack() as stack:
        images, masks = (stack.enter_context(_Stack(folder / name, len(table), advice)) for name in FILES[:2])

        def check(row: Any) -> list[Finding]:
            if row.status == "quarantined":
                return []
            mask = masks.read(row.Index) if row.status == "labelled" else None
            picture, content = picture_hashes(images.read(row.Index), mask)
            if (picture, content) == (row.picture, row.content):
                return []
            name, what = (FILES[0], "picture") if picture != row.picture else (FILES[1], "mask")
            text = f"the stored {what} of row {row.Index} has another hash"
            return [Finding("store", str(folder / name), text, advice, str(row.image_id))]

        yield from run.each(check, table.itertuples())


class _Stack:
    """The arrays of an .npy file by number, as bytes; several threads may read."""

    def __init__(self, path: Path, count: int, advice: str) -> None:
        try:
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UnreadableError(Finding("store", str(path), "is missing", advice)) from None
        except (OSError, ValueError) as error:
            text = f"cannot be read ({type(error).__name__}: not whole, or no .npy file)"
            raise UnreadableError(Finding("store", str(path), text, advice)) from None
        if len(stack) != count:
            text = f"holds {len(stack)} pictures, but table.parquet has {count} rows"
            raise UnreadableError(Finding("store", str(path), text, advice))
        self._size = int(np.prod(stack.shape[1:])) * stack.dtype.itemsize
        self._offset = stack.offset
        self._file = path.open("rb")

    def read(self, number: int) -> bytes:
        return os.pread(self._file.fileno(), self._size, self._offset + number * self._size)

    def __enter__(self) -> "_Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# Whether sample tables and the stages' parts of the config are what the scan wrote, and what the config says.

ADVICE = "Run snakemake: the scan writes {path} anew, and what depends on it is made again."


def check_scanned(run: Run) -> Iterator[list[Finding]]:
    """Compare each file of ``samples/`` and ``config/`` with its fingerprint in ``samples/index.json``."""
    tables = {run.folder / "samples" / f"{shard}.csv": value for shard, value in run.scan.shards.items()}
    stages = {run.folder / stage_file(name): value for name, value in run.scan.stages.items()}
    for path, wanted in {**tables, **stages}.items():
        try:
            problem = "" if fingerprint(path.read_bytes()) == wanted else "is not what the scan wrote"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        yield [Finding("config", str(path), problem, ADVICE.format(path=path))] if problem else []


def check_config(run: Run) -> Iterator[list[Finding]]:
    """Compare the config that was given with the one of the last run, stage by stage."""
    carried = load_stage(run.folder / stage_file("report"), ReportStage).carried
    now = {name: fingerprint(stage_text(stage).encode()) for name, stage in stage_configs(run.config, carried).items()}
    for name in sorted({*now, *run.scan.stages}):
        path = str(run.folder / stage_file(name))
        same = now.get(name) == run.scan.stages.get(name)
        text = "the config that was given says something else for this stage than the one of the last run"
        yield [] if same else [Finding("config", path, text, "Run snakemake with the config, or give the run's own.")]


# Whether the dataset's table still belongs to the shards, and to its fingerprint.

CONTENT = ["image_id", "patient", "status", "content"]


def check_dataset(run: Run) -> Iterator[list[Finding]]:
    """Compare ``dataset.parquet`` with its fingerprint in ``dataset.json`` and, shard by shard, with the stores."""
    folder = run.folder / "dataset"
    advice = (
        f"Delete {folder} and run snakemake: the tables are gathered again, and models whose images are the same stay."
    )
    path = folder / "dataset.parquet"
    images = read_columns(path, [*CONTENT, "fold", "shard"], "dataset", advice)
    found = content_fingerprint(images[images["status"] == "labelled"])
    try:
        wanted = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UnreadableError(
            Finding("dataset", str(folder / "dataset.json"), "is missing or damaged", advice)
        ) from None
    if found != wanted:
        yield [Finding("dataset", str(path), "does not have the fingerprint that dataset.json says", advice)]
    for shard in run.shards:
        store = read_columns(run.folder / "shards" / shard / FILES[2], CONTENT, "store", advice)
        own = images.loc[images["shard"] == shard, CONTENT].sort_values("image_id", ignore_index=True)
        same = own.equals(store.sort_values("image_id", ignore_index=True).astype(own.dtypes))
        text = f"its rows of shard {shard} are not those of the store"
        yield [] if same else [Finding("dataset", str(path), text, advice)]
