"""What runs again, and what does not: the promises of docs/workflow.md, asked of Snakemake itself."""

import csv
import json
import os
import shutil

import pytest

from tests.workflow.conftest import TINY

EVERYTHING_AFTER_TRAINING = {"train": 2, "predict": 2, "score": 2, "report": 1, "check": 1}


def test_a_run_ends_with_a_row_for_every_image(finished):
    results = finished.results(TINY)
    rows = list(csv.DictReader((results / "report.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 16
    assert [row["image_id"] for row in rows] == sorted(row["image_id"] for row in rows)
    by_status = {status: [row for row in rows if row["status"] == status] for status in {row["status"] for row in rows}}
    assert set(by_status) == {"scored", "unlabelled", "quarantined"}
    assert len(by_status["quarantined"]) == 2
    assert all(row["reason"] and not row["miou"] for row in by_status["quarantined"])
    for row in by_status["scored"]:
        ious = [float(row[f"iou_{name}"]) for name in ("lung", "heart", "background")]
        assert float(row["miou"]) == pytest.approx(sum(ious) / 3, abs=2e-6)
        counts = [int(row[f"{count}_lung"]) for count in ("tp", "fp", "fn", "tn")]
        assert sum(counts) == int(row["rows"]) * int(row["columns"]), "scored at the original resolution"
    summary = json.loads((results / "summary.json").read_text())
    assert summary["images"] == {
        "total": 16,
        "scored": len(by_status["scored"]),
        "unlabelled": len(by_status["unlabelled"]),
        "quarantined": 2,
        "training": 0,
    }
    assert (results / "overview.png").stat().st_size > 10_000
    masks = {path.name for path in (results / "masks").rglob("*.png")}
    predicted = by_status["scored"] + by_status["unlabelled"]
    assert masks == {f"{row['image_id']}.{name}.png" for row in predicted for name in ("lung", "heart")}


def test_a_second_run_has_nothing_to_do(finished):
    done = finished.snakemake(TINY, "--cores", "1")
    assert "Nothing to be done" in done.stdout + done.stderr
    assert finished.jobs(TINY) == {}


def test_a_title_rewrites_the_report_and_nothing_else(finished):
    assert finished.jobs({**TINY, "report": {"title": "Another"}}) == {"report": 1, "check": 1}


def test_a_threshold_predicts_again_and_trains_nothing(finished):
    jobs = finished.jobs({**TINY, "predict": {"threshold": 0.4}})
    assert jobs == {"predict": 2, "score": 2, "report": 1, "check": 1}


def test_a_learning_rate_trains_again_and_decodes_nothing(finished):
    jobs = finished.jobs({**TINY, "train": {**TINY["train"], "learning_rate": 0.02}})
    assert jobs == EVERYTHING_AFTER_TRAINING


def test_new_masks_are_scored_even_if_the_run_stopped_between(finished):
    """The scores of old masks beside new masks would be the worst kind of wrong."""
    weights = f"results/{TINY['name']}/models/fold0"
    config = {**TINY, "name": "threshold", "model": {"weights": weights}}  # nothing to train
    del config["train"], config["folds"]
    finished.snakemake(config, "--cores", "2")
    before = (finished.results(config) / "report.csv").read_text()
    changed = {**config, "predict": {"threshold": 0.3}}
    finished.snakemake(changed, "--cores", "2", "--until", "predict")
    assert finished.jobs(changed) == {"score": 2, "report": 1, "check": 1}
    finished.snakemake(changed, "--cores", "2")
    assert (finished.results(config) / "report.csv").read_text() != before


def test_one_image_costs_one_shard_and_what_depends_on_it(finished):
    images = finished.folder / "data/images"
    some = sorted(images.glob("*.png"))[0]
    kept = some.read_bytes(), some.stat()
    new = images / "new0001_pa1.png"
    changes = {
        "added": lambda: shutil.copyfile(some, new),
        "changed": lambda: some.write_bytes(kept[0] + b"\0"),
        "removed": some.unlink,
    }
    for what, change in changes.items():
        try:
            change()
            assert finished.jobs(TINY) == {"preprocess": 1, "dataset": 1, **EVERYTHING_AFTER_TRAINING}, what
        finally:
            new.unlink(missing_ok=True)
            some.write_bytes(kept[0])
            os.utime(some, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    assert finished.jobs(TINY) == {}, "as it was before"


def test_the_users_folder_gets_results_and_nothing_else(finished):
    made_by_tests = {
        "data",
        "fé w",
        "my results",
        "archive",
        "current",
        ".cache",
        *(path.name for path in finished.folder.glob("*.yaml")),
    }
    assert {path.name for path in finished.folder.iterdir()} - made_by_tests == {"results", ".snakemake"}
