"""The compare stage: the scores of all variants become tables and a picture."""

from collections.abc import Sequence
from pathlib import Path

from segpipe.compare.cost import measure, times_table
from segpipe.compare.picture import write_picture
from segpipe.compare.scores import read_scores
from segpipe.compare.tables import comparison_table, pairs_table, seeds_table
from segpipe.config.stages import CompareStage
from segpipe.files.table import write_csv
from segpipe.log import logger


def write_comparison(stage: CompareStage, results: Path, shards: Sequence[str]) -> None:
    """Write ``comparison.csv``, ``-seeds.csv``, ``-pairs.csv``, ``-times.csv`` and ``comparison.png``.

    Raises:
        InputError: no image was predicted by all variants.
    """
    scores = read_scores(stage, results, shards)
    models = [results / "compare" / variant.name / "models" / stage.models[0] for variant in stage.variants]
    costs = [measure(folder, stage.size, stage.predict) for folder in models]
    table = comparison_table(stage, scores, [cost.parameters for cost in costs])
    seeds = seeds_table(stage, scores)
    write_csv(table, results / "comparison.csv")
    write_csv(seeds, results / "comparison-seeds.csv")
    write_csv(pairs_table(stage, scores), results / "comparison-pairs.csv")
    write_csv(times_table(stage, results, costs), results / "comparison-times.csv")
    write_picture(stage, table, seeds, results / "comparison.png")
    for row in table.itertuples():
        logger.info("%s: MIoU %.3f (%.3f to %.3f)", row.variant, row.miou, row.miou_low, row.miou_high)
    logger.info(
        "%d variants, %d images of %d patients: %s",
        len(table), scores.sizes.sum(), len(scores.sizes), results / "comparison.csv",
    )  # fmt: skip
