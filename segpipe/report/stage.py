"""The report stage: from all shards' tables report.csv and .parquet, summary.json, groups.csv, pictures and page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config.stages import PredictStage, ReportStage, load_stage
from segpipe.dataset.flags import count_findings
from segpipe.files.atomic import canonical_json, write_text
from segpipe.files.table import write_csv, write_parquet
from segpipe.log import logger
from segpipe.report.cases import Case, choose_cases, choose_shown, draw, read_layers
from segpipe.report.overview import write_overview
from segpipe.report.page.page import write_page
from segpipe.report.page.run_facts import read_facts
from segpipe.report.table import run_table
from segpipe.score.calibration import rank_correlation
from segpipe.score.groups import group_table, miou_of_groups
from segpipe.score.summary import summarise

# What may tell of a mask without its reference.
MEASURES = ("entropy", "disagreement", "components", "predicted_area_z")


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


def run_groups(stage: ReportStage, table: pd.DataFrame) -> pd.DataFrame:
    """The content of groups.csv; ``table`` is the report's (:func:`segpipe.report.table.run_table`)."""
    return group_table(table, stage.classes, stage.score, stage.by, stage.bands, stage.seed)


def run_summary(
    stage: ReportStage, results: Path, table: pd.DataFrame, groups: pd.DataFrame, with_folds: bool
) -> dict[str, Any]:
    """The content of summary.json; ``table`` is the report's, ``groups`` those of groups.csv."""
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


def correlations(table: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Spearman's rank correlation of each measure with IoU over the scored images, and their number.

    ``table`` is the report. A measure that helps has a strong negative one: the more doubt, the lower the IoU. None
    where it is the same for all, or there are fewer than three. Of areas the distance from the middle counts.
    """
    scored = table[table["status"] == "scored"]
    rows = []
    for measure in MEASURES:
        for name in classes:
            values = scored[f"{measure}_{name}"].astype("float64").abs()
            found, count = rank_correlation(values, scored[f"iou_{name}"])
            rows.append({"measure": measure, "class": name, "spearman": None if np.isnan(found) else found, "n": count})
    return rows


def spread(table: pd.DataFrame, repeats: Sequence[int]) -> dict[str, Any]:
    """Mean MIoU of each seed alone, their standard deviation (n - 1), and of the seeds together; None of no images.

    ``table`` is the report.
    """
    scored = table[table["status"] == "scored"]
    if scored.empty:
        return {"miou": [None] * len(repeats), "sd": None, "together": None}
    mious = pd.Series([float(scored[f"miou_repeat_{repeat}"].mean()) for repeat in repeats])
    return {"miou": mious.tolist(), "sd": float(mious.std(ddof=1)), "together": float(scored["miou"].mean())}
