"""A run whose models start from one that knows some of its patients."""

import csv
import json

from tests.workflow.conftest import TINY


def rows(run, config):
    with (run.results(config) / "report.csv").open() as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def test_patients_of_the_model_that_a_run_starts_from_are_not_scored(finished):
    init = str(finished.results(TINY) / "models/fold0")
    tuned = {**TINY, "name": "tuned", "model": {**TINY["model"], "init": init}}
    finished.snakemake(tuned, "--cores", "2")
    before, after = rows(finished, TINY), rows(finished, tuned)
    known = {name for name, row in before.items() if row["status"] == "scored" and row["fold"] != "0"}
    assert known
    for name, row in after.items():
        assert row["status"] == ("training" if name in known else before[name]["status"]), name
        assert bool(row["miou"]) == (row["status"] == "scored")
    summary = json.loads((finished.results(tuned) / "summary.json").read_text())
    assert summary["images"]["training"] == len(known)
