"""``segpipe export-masks``: the masks of a finished run in a form that other programs read."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

from segpipe.config.load import load_config
from segpipe.files.atomic import atomic_path, remove_leftovers
from segpipe.interop import coco, labelme, nifti, rle, seg
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.log import track

Format = Literal["seg", "nifti", "coco", "rle", "labelme"]
# Writes the masks of images that have some into a folder.
Export = Callable[[FinishedRun, Path, Iterable[RunImage]], Iterator[Exported]]
INDEX = "exported.csv"


def export_masks(
    path: Path, wanted: Format, output: Path | None, image_ids: Sequence[str] = (), tolerance: float = 1.0
) -> str:
    """Write the masks of a finished run, and exported.csv with a row per image; return what to tell the user.

    Files that exist with the same content are left alone. ``tolerance`` in pixels is how far outlines of labelme may be
    from those of the masks.

    Raises:
        ConfigError, InputError: there is no finished run, or what the format needs is missing.
    """
    exports: dict[Format, Export] = {
        "seg": seg.export,
        "nifti": nifti.export,
        "coco": coco.export,
        "rle": rle.export,
        "labelme": partial(labelme.export, tolerance=tolerance),
    }
    with closing(FinishedRun(load_config(path))) as run:
        output = output or run.folder / "exports" / wanted
        images = run.images(image_ids)
        # Shard by shard, so that a table of masks is opened once.
        todo = sorted((each for each in images if not each.without_mask), key=lambda each: (each.shard, each.image_id))
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        done = list(track(exports[wanted](run, output, todo), len(todo), f"export {wanted}"))
        done += [Exported(each.image_id, reason=each.without_mask) for each in images if each.without_mask]
        _write_index(output / INDEX, done)
        said = _summary(output, done)
        return f"{said}\n{labelme.way_back(run, output)}" if wanted == "labelme" else said


def _write_index(path: Path, done: Iterable[Exported]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image_id", "file", "status", "reason", "notes"])
        for row in sorted(done, key=lambda row: row.image_id):
            status = "exported" if row.files else "skipped"
            table.writerow([row.image_id, " ".join(row.files), status, row.reason, " ".join(row.notes)])


def _summary(output: Path, done: Sequence[Exported]) -> str:
    skipped = sum(not row.files for row in done)
    said = f"{len(done) - skipped} of {len(done)} images exported: {output}"
    return f"{said}; why {skipped} are not is in the column reason of {INDEX}" if skipped else said
