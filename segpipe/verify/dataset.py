"""Whether the dataset's table still belongs to the shards, and to its fingerprint."""

import json
from collections.abc import Iterator

from segpipe.dataset import content_fingerprint
from segpipe.preprocess.store import FILES
from segpipe.verify.finding import Finding, UnreadableError
from segpipe.verify.run import Run, read_columns

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
