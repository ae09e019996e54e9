"""From the score files of variants to the tables, by hand-computed cases."""

import numpy as np
import pytest

from segpipe.compare.stage import comparison_table, pairs_table, read_scores, references, seeds_table
from segpipe.errors import InputError
from tests.unit.compare.conftest import compare_stage, variant

SHARDS = ["0000", "0001"]


def test_a_comparison_of_two_is_what_a_pencil_says(results, write_scores):
    write_scores("compare/fcn-dice-all", [80, 60, 70, 90])
    write_scores("compare/unet-dice-all", [90, 70, 90, 85])
    stage = compare_stage(variant("fcn"), variant("unet"))
    scores = read_scores(stage, results, SHARDS)
    assert scores.sizes.tolist() == [2, 1, 1]
    table = comparison_table(stage, scores, [10, 20])
    assert table["variant"].tolist() == ["fcn-dice-all", "unet-dice-all"]
    assert table["miou"].tolist() == pytest.approx([0.75, 0.8375]), "the mean of the images, as in the report"
    assert table["iou_lung"].tolist() == pytest.approx([0.75, 0.8375])
    assert table["parameters"].tolist() == [10, 20]
    assert table["patients"].tolist() == [3, 3]
    assert table["images"].tolist() == [4, 4]
    assert (table["miou_low"] <= table["miou"]).all()
    assert (table["miou"] <= table["miou_high"]).all()
    assert table["difference"].tolist() == pytest.approx([np.nan, 0.0875], nan_ok=True)
    assert table["compared_with"].tolist() == ["", "fcn-dice-all"]
    assert table["patients_better"].tolist()[1] == 2
    assert table["patients_worse"].tolist()[1] == 1
    # Patients' differences 0.15, 0.1, -0.05: the smallest rank is the negative one, 4 of 8 ways.
    assert table["p_wilcoxon"].tolist()[1] == pytest.approx(0.5)
    assert table["p_holm"].tolist()[1] == pytest.approx(0.5)
    assert table["miou_together"].isna().all(), "one seed has none to join"


def test_seeds_are_averaged_and_their_spread_and_their_ensemble_are_told(results, write_scores):
    for trial, ious in (("", [90] * 4), ("repeats/1/", [80] * 4), ("repeats/2/", [84] * 4)):
        write_scores(f"compare/fcn-dice-all/{trial}", ious)
    stage = compare_stage(variant("fcn"), repeats=2)
    scores = read_scores(stage, results, SHARDS)
    table = comparison_table(stage, scores, [1])
    assert table["miou"].item() == pytest.approx(0.82)
    assert table["miou_seed_sd"].item() == pytest.approx(0.02 * 2**0.5)
    assert table["miou_together"].item() == pytest.approx(0.9)
    seeds = seeds_table(stage, scores)
    assert seeds["seed"].tolist() == [1, 2]
    assert seeds["miou"].tolist() == pytest.approx([0.80, 0.84])
    assert seeds["miou_low"].tolist() == pytest.approx([0.80, 0.84]), "all patients agree"


def test_only_images_that_all_variants_predicted_are_scored(results, write_scores, caplog):
    write_scores("compare/fcn-dice-all", [80, 60, 70, 90])
    write_scores("compare/unet-dice-all", [90, 70, 90])
    stage = compare_stage(variant("fcn"), variant("unet"))
    scores = read_scores(stage, results, SHARDS)
    assert scores.sizes.sum() == 3
    assert comparison_table(stage, scores, [1, 1])["miou"].tolist()[0] == pytest.approx(0.7)
    assert "1 images are left out" in caplog.text


def test_nothing_in_common_is_an_error_that_counts(results, write_scores):
    write_scores("compare/fcn-dice-all", [80, 60])
    write_scores("compare/unet-dice-all", [])
    with pytest.raises(InputError, match=r"No image has a score from all 2 variants and seeds \(2 have one"):
        read_scores(compare_stage(variant("fcn"), variant("unet")), results, SHARDS)


def test_networks_are_compared_at_equal_numbers_of_patients(results, write_scores):
    variants = [variant(network, patients=most) for network in ("fcn", "unet") for most in (5, 0)]
    for number, each in enumerate(variants):
        write_scores(f"compare/{each.name}", [50 + 10 * number + image for image in range(4)])
    stage = compare_stage(*variants)
    assert references(stage) == [0, 1, 0, 1]
    scores = read_scores(stage, results, SHARDS)
    table = comparison_table(stage, scores, [1] * 4)
    assert table["compared_with"].tolist() == ["", "", "fcn-dice-5patients", "fcn-dice-all"]
    assert table["difference"].tolist()[2:] == pytest.approx([0.2, 0.2])
    pairs = pairs_table(stage, scores)
    assert list(zip(pairs["compared_with"], pairs["variant"], pairs["differs_in"], strict=True)) == [
        ("fcn-dice-5patients", "fcn-dice-all", "train_patients"),
        ("fcn-dice-5patients", "unet-dice-5patients", "network"),
        ("fcn-dice-all", "unet-dice-all", "network"),
        ("unet-dice-5patients", "unet-dice-all", "train_patients"),
    ]
    assert pairs["difference"].tolist() == pytest.approx([0.1, 0.2, 0.2, 0.1])
    assert pairs["p_wilcoxon"].tolist() == pytest.approx([0.25] * 4), "three patients can give no less"
    assert pairs["p_holm"].tolist() == pytest.approx([1.0] * 4)


def test_variants_that_score_alike_differ_by_nothing(results, write_scores):
    for name in ("a", "b"):
        write_scores(f"compare/{name}-dice-all", [80, 60, 70, 90])
    stage = compare_stage(variant("a"), variant("b"))
    second = comparison_table(stage, read_scores(stage, results, SHARDS), [1, 1]).iloc[1]
    assert (second["difference"], second["p_wilcoxon"], second["patients_better"]) == (0, 1, 0)


def test_a_comparison_of_one_has_no_pairs(results, write_scores):
    write_scores("compare/fcn-dice-all", [80, 60, 70, 90])
    stage = compare_stage(variant("fcn"))
    scores = read_scores(stage, results, SHARDS)
    assert len(pairs_table(stage, scores)) == 0
    assert comparison_table(stage, scores, [1])["difference"].isna().all()
