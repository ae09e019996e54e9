"""Whether images and masks are still the files that were read."""

from collections.abc import Callable, Iterator
from pathlib import Path

from segpipe.errors import ImageError
from segpipe.io.digest import hash_file
from segpipe.io.stamp import file_stamp
from segpipe.preprocess.store import FILES
from segpipe.samples.sample import Sample, inside, mask_inside
from segpipe.samples.shards import read_table
from segpipe.stages import PreprocessStage
from segpipe.verify.finding import STORE_ADVICE, Finding
from segpipe.verify.run import Run, read_columns

COLUMNS = ("image_id", "status", "sha256", "mask_sha256")
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
    table = read_columns(folder / FILES[2], COLUMNS, "store", STORE_ADVICE.format(folder=folder))
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
