"""The report stage: from all shards' tables report.csv and .parquet, summary.json, groups.csv, pictures and page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.config.stages import PredictStage, ReportStage, load_stage
from segpipe.dataset.flags import count_findings, with_checks
from segpipe.files.atomic import write_text
from segpipe.files.json_file import canonical_json
from segpipe.files.table import write_csv, write_parquet
from segpipe.log import logger
from segpipe.report.cases import Case, choose_cases, choose_shown, read_layers
from segpipe.report.overview import write_overview
from segpipe.report.page.cases import draw
from segpipe.report.page.page import write_page
from segpipe.report.page.run_facts import read_facts
from segpipe.report.quality import correlations, spread, with_quality, with_repeats
from segpipe.report.sources import check_scored, read_images, read_predictions, read_scores
from segpipe.report.table import build_report
from segpipe.score.columns import measured_columns, score_columns
from segpipe.score.groups import group_table, miou_of_groups
from segpipe.score.summary import summarise

TRAINING = (
    "its patient trained or validated the only model (folds.scheme: holdout), so it is not predicted; "
    "kfold scores every image"
)


def write_run_report(configs: Mapping[str, Path], results: Path, shards: Sequence[str], with_folds: bool) -> None:
    """Write the files into ``results``, from what the earlier stages left there.

    ``configs`` are the stages' parts of the config: those of report and predict, and others that the page tells of.
    ``with_folds`` is false where a given model was applied and no folds exist.
    """
    stage, predict = load_stage(configs["report"], ReportStage), load_stage(configs["predict"], PredictStage)
    table = run_table(stage, results, shards, with_folds)
    groups = run_groups(stage, table)
    summary = run_summary(stage, results, table, groups, with_folds)
    cases, shown = choose_cases(table), choose_shown(table, stage.cases, stage.seed)
    layers = read_layers({image_id for _, image_id in (*cases, *shown)}, predict, results, shards)
    mious = table.set_index("image_id")["miou"]
    write_overview(
        [Case(group, image_id, float(mious[image_id]), *layers[image_id]) for group, image_id in cases],
        results / "overview.png",
        classes=stage.classes,
        title=stage.title,
        scored=summary["images"]["scored"],
        mean_miou=summary["metrics"]["miou"]["mean"],
    )
    write_text(results / "summary.json", canonical_json(summary))
    write_csv(groups, results / "groups.csv")
    write_parquet(table, results / "report.parquet")
    write_csv(table, results / "report.csv")
    drawn = [draw(kind, image_id, layers[image_id], stage.classes) for kind, image_id in shown]
    write_page(stage, read_facts(results, configs), results, table, summary, drawn)
    logger.info("report: %d rows", len(table))


def run_table(stage: ReportStage, results: Path, shards: Sequence[str], with_folds: bool) -> pd.DataFrame:
    """The report's table (:func:`segpipe.report.table.build_report`) from the tables of all stages."""
    images, predictions = read_images(stage, results, shards), read_predictions(stage, results, shards)
    measured = [*score_columns(stage.classes), *measured_columns(stage.classes, stage.score)]
    scores = read_scores(results, shards, ["image_id", *measured])
    check_scored(scores, predictions)
    repeats = range(1, stage.repeats + 1)
    scores = with_repeats(scores, results, shards, repeats)
    if with_folds:
        columns = ["image_id", "fold", "duplicate_of", "near_duplicate_of"]
        gathered = pd.read_parquet(results / "dataset" / "dataset.parquet", columns=columns)
        images = images.merge(gathered, on="image_id", how="left")
    images = with_checks(images, stage.checks, stage.classes)
    images["status"], images["reason"] = _outcome(images, predictions)
    tidied = predictions.loc[predictions["predicted"], ["image_id", "engine", "removed_pixels", "filled_pixels"]]
    images = images.merge(tidied, on="image_id", how="left")
    images = with_quality(images, predictions, stage.classes)
    return build_report(images, scores, stage.classes, stage.carried, repeats, stage.score)


def run_groups(stage: ReportStage, table: pd.DataFrame) -> pd.DataFrame:
    """The content of groups.csv; ``table`` is the report's (:func:`run_table`)."""
    return group_table(table, stage.classes, stage.score, stage.by, stage.bands, stage.seed)


def run_summary(
    stage: ReportStage, results: Path, table: pd.DataFrame, groups: pd.DataFrame, with_folds: bool
) -> dict[str, Any]:
    """The content of summary.json; ``table`` is the report's (:func:`run_table`), ``groups`` those of groups.csv."""
    summary = {
        "title": stage.title,
        **summarise(table, stage.classes, stage.score, stage.seed),
        "checks": count_findings(table),
    }
    summary["quality"] = correlations(table, stage.classes)
    summary["groups"] = miou_of_groups(groups)
    if stage.repeats > 1:
        summary["repeats"] = spread(table, range(1, stage.repeats + 1))
    if with_folds:
        summary["absent_classes"] = json.loads((results / "dataset" / "dataset.json").read_text())["absent_classes"]
    return summary


SEEN = (
    "a model that predicts it was trained on this patient's pictures (as model.weights, or through model.init), so "
    "that its score would say nothing"
)


def _outcome(images: pd.DataFrame, predictions: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Status and reason of each image after all stages."""
    found = predictions.set_index("image_id").loc[images["image_id"], ["predicted", "seen"]].to_numpy(bool)
    usable = (images["status"] != "quarantined").to_numpy()
    skipped, seen = usable & ~found[:, 0], usable & found[:, 1]
    status = images["status"].replace({"labelled": "scored"}).where(~(skipped | seen), "training")
    return status, images["reason"].where(~skipped, TRAINING).where(~seen, SEEN)
