"""The scores of all variants on the images that all of them predicted, patient by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.config.stages import CompareStage
from segpipe.config.variants import repeat_folder
from segpipe.errors import InputError
from segpipe.log import logger
from segpipe.score.columns import BACKGROUND
from segpipe.score.intervals import bca_intervals, draws_for, sums_by_patient


@dataclass(frozen=True)
class PatientScores:
    """Means of each patient's images.

    ``seeds`` is float64 (variants, seeds, metrics, patients), each seed's models alone. ``together`` is float64
    (variants, metrics, patients), the mean of the seeds' probabilities; with one seed it is that seed.
    ``sizes`` is int (patients,), the number of images of each.
    """

    metrics: list[str]
    seeds: np.ndarray
    together: np.ndarray
    sizes: np.ndarray

    @property
    def mean_seed(self) -> np.ndarray:
        """What one training gives on average, float64 (variants, metrics, patients)."""
        return np.asarray(self.seeds.mean(axis=1))


def patient_means(values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The mean of each patient's images: float (..., images) to float64 (..., patients).

    ``patients`` is int (images,): the patient of each image, 0 to n - 1, each at least once.
    """
    sums = sums_by_patient(values.reshape(-1, len(patients)), patients)
    return np.asarray(sums.reshape(*values.shape[:-1], -1) / np.bincount(patients))


def image_mean(means: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The mean over all images from :func:`patient_means`, (..., patients) to (...).

    ``sizes`` is int (patients,): how many images each patient has.
    """
    return np.asarray(means @ sizes / sizes.sum())


def mean_interval(means: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """The 95 % interval of :func:`image_mean`, (..., patients) to float64 (2, ...): low and high."""
    rows = means.reshape(-1, len(sizes)) * sizes
    ends = bca_intervals(rows, np.broadcast_to(sizes, rows.shape), seed, draws_for(len(sizes)))
    return ends.reshape(2, *means.shape[:-1])


def metric_names(classes: Sequence[str]) -> list[str]:
    """The scores that are compared, the first of them the main one."""
    return ["miou", "miou_foreground", *(f"iou_{name}" for name in [*classes, BACKGROUND])]


def read_scores(stage: CompareStage, results: Path, shards: Sequence[str]) -> PatientScores:
    """Read every variant's scores, and keep the images that are in all of them.

    Raises:
        InputError: there is no such image.
    """
    metrics = metric_names(stage.classes)
    folders = [f"compare/{variant.name}/" for variant in stage.variants]
    alone = range(1, stage.repeats + 1) if stage.repeats > 1 else []
    tables = [
        [_read(results / trial, shards, metrics) for trial in (folder, *(repeat_folder(folder, r) for r in alone))]
        for folder in folders
    ]
    images = _common([table for of_variant in tables for table in of_variant])
    values = np.stack([[table.loc[images].to_numpy(np.float64).T for table in of_variant] for of_variant in tables])
    patients = _patients(results, images)
    by_patient = patient_means(values, patients)
    together, seeds = by_patient[:, 0], by_patient[:, 1:] if stage.repeats > 1 else by_patient
    return PatientScores(metrics, seeds, together, np.bincount(patients))


def _read(folder: Path, shards: Sequence[str], metrics: list[str]) -> pd.DataFrame:
    parts = [
        pd.read_parquet(folder / "scores" / f"{shard}.parquet", columns=["image_id", *metrics]) for shard in shards
    ]
    return pd.concat(parts).set_index("image_id")


def _common(tables: Sequence[pd.DataFrame]) -> list[str]:
    known = [set(table.index) for table in tables]
    common, all_ids = set.intersection(*known), set.union(*known)
    if not common:
        raise InputError(
            f"No image has a score from all {len(tables)} variants and seeds ({len(all_ids)} have one from some), so "
            "there is nothing to compare. `segpipe validate CONFIG` says which images have usable masks."
        )
    if common != all_ids:
        logger.warning("%d images are left out: not all variants predicted them", len(all_ids) - len(common))
    return sorted(common)


def _patients(results: Path, images: Sequence[str]) -> np.ndarray:
    """The number of each image's patient, 0 to n - 1 in the order of their keys."""
    table = pd.read_parquet(results / "dataset" / "dataset.parquet", columns=["image_id", "patient"])
    keys = table.set_index("image_id").loc[list(images), "patient"]
    return np.unique(keys.to_numpy(str), return_inverse=True)[1]
