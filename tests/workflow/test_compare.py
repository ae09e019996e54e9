"""A comparison beside a finished run, and more seeds of it: what is trained, and what is left as it was."""

import csv

import pytest

from tests.workflow.conftest import TINY, Run, jobs_of

NETWORKS = {
    "fcn": {"network": "fcn", "options": {"width": 2}},
    "small": {"network": "unet", "options": {"channels": [4, 8], "num_res_units": 0}},
}
# The run's own name: shards, dataset and folds are shared with it.
COMPARE = {**TINY, "train": {**TINY["train"], "epochs": 1}, "compare": {"networks": NETWORKS}}


@pytest.fixture(scope="module")
def compared(finished: Run) -> Run:
    done = finished.snakemake(COMPARE, "--cores", "2")
    assert jobs_of(done.stderr) == {"train": 4, "predict": 4, "score": 4, "compare": 1}
    return finished


def rows(run: Run, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((run.results(TINY) / name).read_text().splitlines()))


def test_a_comparison_ends_with_tables_and_a_picture(compared):
    table = rows(compared, "comparison.csv")
    assert [row["variant"] for row in table] == ["fcn-dice_ce-all", "small-dice_ce-all"]
    scored = [row for row in rows(compared, "report.csv") if row["status"] == "scored"]
    assert {row["images"] for row in table} == {str(len(scored))}
    assert {row["patients"] for row in table} == {str(len({row["patient"] for row in scored}))}
    for row in table:
        assert 0 <= float(row["miou_low"]) <= float(row["miou"]) <= float(row["miou_high"]) <= 1
    assert 0 < float(table[1]["p_wilcoxon"]) <= float(table[1]["p_holm"]) <= 1
    assert len(rows(compared, "comparison-pairs.csv")) == 1
    assert all(float(row["train_minutes"]) > 0 for row in rows(compared, "comparison-times.csv"))
    assert (compared.results(TINY) / "comparison.png").stat().st_size > 10_000


def test_it_leaves_the_run_beside_it_as_it_was(compared):
    assert compared.jobs(COMPARE) == {}
    assert compared.jobs(TINY) == {}


def test_a_variant_that_is_added_is_all_that_is_trained(compared):
    another = {**COMPARE, "compare": {"networks": NETWORKS, "losses": ["dice_ce", "bce"]}}
    assert compared.jobs(another) == {"train": 4, "predict": 4, "score": 4, "compare": 1}
    more_seeds = {**COMPARE, "compare": {"networks": NETWORKS, "repeats": 2}}
    # Each variant's second seed is trained; its two seeds predict each alone, and together.
    assert compared.jobs(more_seeds) == {"train": 4, "predict": 12, "score": 12, "compare": 1}
    fewer = {**COMPARE, "compare": {"networks": {"fcn": NETWORKS["fcn"]}}}
    assert compared.jobs(fewer) == {"compare": 1}


def test_more_seeds_train_those_that_are_new(finished):
    config = {**TINY, "train": {**TINY["train"], "repeats": 3}}
    output = finished.snakemake(config, "--cores", "1", "-n").stdout
    assert jobs_of(output) == {"train": 4, "predict": 8, "score": 8, "report": 1, "check": 1}
    trained = {line.split()[-1] for line in output.splitlines() if ": Training " in line}
    assert trained == {f"fold{fold}-r{repeat}" for fold in range(2) for repeat in (2, 3)}
