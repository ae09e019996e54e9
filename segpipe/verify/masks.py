"""Whether predicted masks are the files that were written."""

from collections.abc import Iterator
from typing import Any

from segpipe.io.predictions import mask_names
from segpipe.predict.journal import files_hash
from segpipe.stages import PredictStage
from segpipe.verify.finding import Finding
from segpipe.verify.run import Run, read_columns

COLUMNS = ("image_id", "predicted", "form", "masks_sha256")


def check_masks(run: Run, stage: PredictStage, trial: str, shard: str) -> Iterator[list[Finding]]:
    """Hash the masks of every predicted image of a shard again, and compare with the table of predictions."""
    table = run.folder / trial / "predictions" / f"{shard}.parquet"
    folder = run.folder / trial / "masks" / shard
    advice = f"Delete {table} and run snakemake: masks that are right are kept, the others made again."
    rows = read_columns(table, COLUMNS, "mask", advice)

    def check(row: Any) -> list[Finding]:
        image_id, names = str(row.image_id), mask_names(str(row.image_id), row.form, stage.classes)
        try:
            found = files_hash([(folder / name).read_bytes() for name in names])
        except FileNotFoundError as error:
            return [Finding("mask", str(error.filename), "is missing", advice, image_id)]
        except OSError as error:
            return [Finding("mask", str(error.filename), f"cannot be read ({error.strerror})", advice, image_id)]
        if found == row.masks_sha256:
            return []
        which = "has" if len(names) == 1 else f"or another of its {len(names)} masks has"
        return [Finding("mask", str(folder / names[0]), f"{which} another hash than when it was written", advice,
                        image_id)]  # fmt: skip

    yield from run.each(check, rows[rows["predicted"]].itertuples())
