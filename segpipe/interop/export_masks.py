"""What `segpipe export-masks` does."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from segpipe.config.load import load_config
from segpipe.errors import InputError
from segpipe.files.atomic import atomic_path, remove_leftovers
from segpipe.interop.finished_run import HEADER, FinishedRun, Job, Outcome, Picture
from segpipe.log import track

Format = Literal["seg", "nifti", "coco", "rle", "labelme"]
INDEX = "exported.csv"
Write = Callable[[Job, Iterable[Picture]], Iterator[Outcome]]


def export_masks(
    path: Path, wanted: Format, output: Path | None, image_ids: Sequence[str] = (), tolerance: float = 1.0
) -> str:
    """Write the masks of a finished run, and exported.csv with a row per image; return what to tell the user.

    Files that are there with the same content are left alone.

    Raises:
        ConfigError, InputError: there is no finished run, or what the format needs is missing.
    """
    if wanted not in get_args(Format):
        raise InputError(f"--format {wanted}: there are {', '.join(get_args(Format))}.")
    write: Write = import_module(f"segpipe.interop.{wanted}").write
    with closing(FinishedRun(load_config(path))) as run:
        output = output or run.folder / "exports" / wanted
        pictures = run.pictures(image_ids)
        job = Job(run, output, run.config.export.codes, tolerance)
        # Shard by shard, so that an archive or table of masks is opened once.
        todo = sorted((each for each in pictures if not each.why_not), key=lambda each: (each.shard, each.image_id))
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        done = list(track(write(job, todo), len(todo), f"export {wanted}"))
        done += [Outcome(each.image_id, reason=each.why_not) for each in pictures if each.why_not]
        _write_index(output / INDEX, done)
        return _summary(job, wanted, done)


def _write_index(path: Path, done: Iterable[Outcome]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        table.writerows(outcome.cells for outcome in sorted(done, key=lambda outcome: outcome.image_id))


def _summary(job: Job, wanted: Format, done: Sequence[Outcome]) -> str:
    exported = sum(bool(outcome.files) for outcome in done)
    lines = [f"{exported} of {len(done)} images exported: {job.output}"]
    if exported < len(done):
        lines[0] += f"; why {len(done) - exported} are not is in the column reason of {INDEX}"
    if wanted == "labelme":
        from segpipe.interop.export_labelme import way_back

        lines.append(way_back(job.run, job.output))
    return "\n".join(lines)
