"""`segpipe validate`: what a run would find in images and masks, without training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segpipe.config import Config, Score
from segpipe.config.load import load_config
from segpipe.config.stages import DatasetStage, PreprocessStage, ReportStage, stage_configs
from segpipe.dataset.flags import with_checks
from segpipe.dataset.stage import absent_classes, assemble, check_duplicates
from segpipe.errors import InputError, SegpipeError
from segpipe.files.table import write_csv
from segpipe.log import track
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from segpipe.preprocess.read import image_reader, quarantined
from segpipe.report.columns import check_groups
from segpipe.report.findings import findings_report
from segpipe.report.summary import check_quarantined
from segpipe.report.table import build_report
from segpipe.samples.sample import Sample
from segpipe.samples.scan import list_samples
from segpipe.samples.shards import check_ids
from segpipe.score.columns import score_table
from segpipe.score.overlap import COUNTS

Row = dict[str, Any]


@dataclass(frozen=True)
class Validation:
    """What was found, as text for a terminal, and why a run would stop, if it would."""

    report: str
    problem: SegpipeError | None


def validate_config(path: Path, cores: int, output: Path | None = None) -> Validation:
    """Read every image and mask of a config as a run would; ``output`` gets the rows of report.csv, without scores.

    Memory is that of one image per process, and a few KB for each image of the set.

    Raises:
        ConfigError, InputError: as the workflow does before its first job.
    """
    config = load_config(path)
    _check_training(config)
    samples, carried = list_samples(config)
    check_ids((sample.image_id, sample.image) for sample in samples)
    stages = stage_configs(config, carried)
    preprocess, dataset, report = stages["preprocess"], stages["dataset"], stages["report"]
    assert isinstance(preprocess, PreprocessStage)
    assert isinstance(dataset, DatasetStage)
    assert isinstance(report, ReportStage)
    check_groups(report)
    classes = list(config.class_values)
    images = with_checks(pd.DataFrame(read_rows(samples, preprocess, cores)), config.checks, classes)
    problem = None
    if not config.model.weights:
        images, problem = _with_folds(images, dataset)
    if output:
        _write(images, classes, carried, config.score, output)
    return Validation(findings_report(images, classes, config.checks), problem or _judged(images, config))


def read_rows(samples: list[Sample], stage: PreprocessStage, cores: int) -> list[Row]:
    """The row of every image, in the samples' order, read by ``cores`` processes."""
    limits = Limits(stage.seconds_per_image)
    with isolated_map(row_reader, (stage,), samples, limits, cores) as found:
        pairs = zip(track(samples, len(samples), "validate"), found, strict=True)
        return [quarantined(sample, row.reason) if isinstance(row, ItemFailure) else row for sample, row in pairs]


def row_reader(stage: PreprocessStage) -> Callable[[Sample], Row]:
    """The function that a worker applies to every sample: pictures stay where they were read."""
    read = image_reader(stage)
    return lambda sample: read(sample).row


def _check_training(config: Config) -> None:
    """What the workflow asks of network and given model before its first job, and of train.augment in training."""
    from segpipe.models.card import check_models

    check_models(config)
    if not config.model.weights and not isinstance(config.train.augment, str):
        from segpipe.train.augment_list import ListedAugmentation

        ListedAugmentation(config.train.augment, config.seed, list(config.class_values))


def _with_folds(images: pd.DataFrame, stage: DatasetStage) -> tuple[pd.DataFrame, SegpipeError | None]:
    """The table with folds, or without where there can be none; and why the dataset stage would stop."""
    try:
        found = assemble(images, stage)
    except SegpipeError as error:
        return images, error
    absent_classes(found[found["status"] == "labelled"], stage)
    try:
        check_duplicates(found, stage.duplicates)
    except InputError as error:
        return found, error
    return found, None


def _judged(images: pd.DataFrame, config: Config) -> SegpipeError | None:
    quarantined_ = int((images["status"] == "quarantined").sum())
    try:
        check_quarantined(quarantined_, len(images), config.data.tolerate)
    except SegpipeError as error:
        return error
    return None


def _write(images: pd.DataFrame, classes: list[str], carried: list[str], score: Score, output: Path) -> None:
    no_scores = score_table([], np.zeros((0, len(classes) + 1, len(COUNTS)), np.int64), classes)
    write_csv(build_report(images, no_scores, classes, carried, score=score), output)
