"""The compare stage: the scores of all variants, patient by patient, become tables with intervals and paired tests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from segpipe.compare.cost import measure, times_table
from segpipe.compare.picture import write_picture
from segpipe.config.stages import CompareStage
from segpipe.config.variants import repeat_folder
from segpipe.errors import InputError
from segpipe.files.table import write_csv
from segpipe.log import logger
from segpipe.score.columns import BACKGROUND
from segpipe.score.intervals import bca_intervals, draws_for, sums_by_patient

# The scores of all variants on the images that all of them predicted, patient by patient.


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


# The tables of a comparison: a row per variant, per variant and seed, and per pair of variants, with paired tests.
#
# The tests are Wilcoxon's signed-rank test over patients, one number for each, and Holm's correction for several tests.

AXES = ("network", "loss", "patients")
_DECIMALS = 9  # differences that agree to here are ties; beyond it sums leave noise


def signed_rank_p(differences: np.ndarray) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; differences of 0 are left out, as Wilcoxon did.

    It is 1 where nothing is left. Up to 50 differences without ties it is exact.
    """
    rounded = np.round(differences, _DECIMALS)
    left = rounded[rounded != 0]
    return float(stats.wilcoxon(left).pvalue) if left.size else 1.0


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method (1979), in the order given.

    >>> holm(np.array([0.04, 0.01, 0.03])).round(2).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def comparison_table(stage: CompareStage, scores: PatientScores, parameters: list[int]) -> pd.DataFrame:
    """One row per variant; differences are to the first one with as many patients (docs/compare.md)."""
    means, sizes = scores.mean_seed, scores.sizes
    low, high = mean_interval(means[:, 0], sizes, stage.seed)
    over_images = image_mean(means, sizes)
    table = pd.DataFrame([_axes(stage, number) for number in range(len(stage.variants))])
    table = table.assign(seeds=stage.repeats, patients=len(sizes), images=sizes.sum())
    table = table.assign(miou=over_images[:, 0], miou_low=low, miou_high=high)
    table = table.assign(**dict(zip(scores.metrics[1:], over_images[:, 1:].T, strict=True)))
    several = stage.repeats > 1
    spread = image_mean(scores.seeds[:, :, 0], sizes).std(axis=1, ddof=1) if several else np.nan
    together = image_mean(scores.together[:, 0], sizes) if several else np.nan
    table = table.assign(miou_seed_sd=spread, miou_together=together, parameters=parameters)
    return pd.concat([table, _differences(scores, stage)], axis=1)


def seeds_table(stage: CompareStage, scores: PatientScores) -> pd.DataFrame:
    """One row per variant and seed, the models of that seed alone."""
    low, high = mean_interval(scores.seeds[:, :, 0], scores.sizes, stage.seed)
    over_images = image_mean(scores.seeds, scores.sizes)
    rows: list[dict[str, Any]] = []
    for number, seed in np.ndindex(low.shape):
        row = {**_axes(stage, number), "seed": seed + 1, "miou": over_images[number, seed, 0]}
        row |= {"miou_low": low[number, seed], "miou_high": high[number, seed]}
        rows.append(row | dict(zip(scores.metrics[1:], over_images[number, seed, 1:], strict=True)))
    return pd.DataFrame(rows)


def _axes(stage: CompareStage, number: int) -> dict[str, str]:
    variant = stage.variants[number]
    return {
        "variant": variant.name,
        "network": variant.network,
        "loss": variant.loss,
        "train_patients": str(variant.patients or "all"),
    }


def _differences(scores: PatientScores, stage: CompareStage) -> pd.DataFrame:
    """Of each variant to the first one with as many patients; that one's own cells are blank."""
    first = references(stage)
    apart = [number for number in range(len(first)) if first[number] != number]
    found = paired(scores, [(first[number], number) for number in apart], stage.seed)
    names = [variant.name for variant in stage.variants]
    compared = pd.DataFrame({"compared_with": [names[first[number]] for number in apart]}, index=apart, dtype="str")
    whole = compared.join(found.set_index(pd.Index(apart))).reindex(range(len(first)))
    return whole.assign(compared_with=whole["compared_with"].fillna(""))


def references(stage: CompareStage) -> list[int]:
    """What each variant is compared with: the first one that was trained on as many patients."""
    patients = [variant.patients for variant in stage.variants]
    return [patients.index(most) for most in patients]


def pairs_table(stage: CompareStage, scores: PatientScores) -> pd.DataFrame:
    """One row for each two variants that differ in one thing only: network, loss or number of patients."""
    rows, pairs = [], []
    for one, other in combinations(range(len(stage.variants)), 2):
        first, second = stage.variants[one], stage.variants[other]
        differing = [axis for axis in AXES if getattr(first, axis) != getattr(second, axis)]
        if len(differing) == 1:
            pairs.append((one, other))
            differs_in = differing[0].replace("patients", "train_patients")
            rows.append({"variant": second.name, "compared_with": first.name, "differs_in": differs_in})
    columns = ["variant", "compared_with", "differs_in"]
    return pd.concat([pd.DataFrame(rows, columns=columns), paired(scores, pairs, stage.seed)], axis=1)


def paired(scores: PatientScores, pairs: Sequence[tuple[int, int]], seed: int) -> pd.DataFrame:
    """The difference in MIoU of the second to the first variant of each pair, on the same patients."""
    miou, sizes = scores.mean_seed[:, 0], scores.sizes
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    differences = miou[second] - miou[first]
    low, high = mean_interval(differences, sizes, seed)
    p_values = np.array([signed_rank_p(each) for each in differences], np.float64)
    signs = np.sign(np.round(differences, _DECIMALS))
    return pd.DataFrame(
        {
            "difference": _four_digits(image_mean(differences, sizes)),
            "difference_low": _four_digits(low),
            "difference_high": _four_digits(high),
            "patients_better": pd.array((signs > 0).sum(axis=1), "Int64"),
            "patients_worse": pd.array((signs < 0).sum(axis=1), "Int64"),
            "p_wilcoxon": _four_digits(p_values),
            "p_holm": _four_digits(holm(p_values)),
        }
    )


def _four_digits(values: Iterable[float]) -> np.ndarray:
    """More would be noise of the draws."""
    return np.array([float(f"{value:.4g}") for value in values], np.float64)


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
