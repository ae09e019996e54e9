"""Whether predicted masks are those that were written."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from segpipe.io.mask_store import Entries, Entry, Layout, Place
from segpipe.stages import PredictStage
from segpipe.verify.finding import Finding, UnreadableError
from segpipe.verify.run import Run, read_columns

COLUMNS = ("image_id", "predicted", "form", "masks", "masks_sha256")


def check_masks(run: Run, stage: PredictStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Hash the masks of every predicted image of a shard again, and compare with the table of predictions.

    Raises:
        UnreadableError: the table, or the archive of masks, cannot be read.
    """
    table = run.folder / trial / "predictions" / f"{shard}.parquet"
    advice = f"Delete {table} and run snakemake: masks that are right are kept, the others made again."
    rows = read_columns(table, COLUMNS, "mask", advice)
    rows = rows[rows["predicted"]]
    if rows.empty:
        return
    place, first = Place.of_shard(run.folder / trial / "masks" / shard), rows.iloc[0]
    where, layout = place.finished(first["masks"]), Layout(stage.classes, first["form"], first["masks"])
    try:
        found = place.open(layout.kind)
    except (OSError, ValueError) as error:
        raise UnreadableError(Finding("mask", str(where), f"cannot be read ({error})", advice)) from None

    def check(row: Any) -> list[Finding]:
        names = layout.mask_names(str(row.image_id))
        try:
            content = Entry.of("", Entries({name: found.read(name) for name in names}), {}).content
        except KeyError as error:
            problem = f"{error.args[0]} is missing"
        except (OSError, ValueError) as error:
            problem = f"{names[0]} cannot be read ({type(error).__name__})"
        else:
            which = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
            problem = "" if content == row.masks_sha256 else f"{which} has another hash than when it was written"
        return [Finding("mask", str(where), problem, advice, str(row.image_id))] if problem else []

    with closing(found):
        # A Parquet file's reader serves one thread at a time.
        yield from (map if layout.kind == "rle" else run.each)(check, rows.itertuples())
