"""Real radiographs through the whole workflow with a given model: every file a row, no patient in any output."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import TINY, Run

CANARY = b"PHICANARY"


@pytest.fixture(scope="module")
def real(finished: Run, shared):
    """Real DICOM, real PNG and hostile files, through a model that the tiny run trained."""
    archive = finished.folder / "archive"
    shutil.copytree(shared / "radiographs-dicom", archive / "dicom")
    shutil.copytree(shared / "hostile/dicom", archive / "hostile")
    for path in sorted((shared / "nih-25-unlabelled").glob("*.png"))[:3]:
        shutil.copy(path, archive / "dicom" / path.name)
    (finished.folder / "current").symlink_to("results/tiny/models/fold0")
    config = {
        "name": "real",
        "classes": TINY["classes"],
        "data": {"root": "archive", "images": ["dicom/{file}", "hostile/{file}"], "shards": 2, "tolerate": 1.0},
        "preprocess": TINY["preprocess"],
        "model": {"weights": "current"},
        "predict": TINY["predict"],
    }
    done = finished.snakemake(config, "--cores", "2")
    return finished, config, done.stdout + done.stderr


def rows(run, config):
    text = (run.results(config) / "report.csv").read_text(encoding="utf-8")
    return {row["image_id"]: row for row in csv.DictReader(text.splitlines())}


def test_every_file_is_a_row_with_a_mask_or_a_reason(real, shared):
    run, config, _ = real
    table = rows(run, config)
    assert len(table) == 11 + 3 + len(list((shared / "hostile/dicom").iterdir()))
    for row in table.values():
        assert row["status"] in ("unlabelled", "quarantined")
        assert bool(row["reason"]) == (row["status"] == "quarantined")
        assert "Traceback" not in row["reason"]
        assert "\n" not in row["reason"]
    radiographs = [row for row in table.values() if row["image"].startswith("dicom/")]
    assert {row["status"] for row in radiographs} == {"unlabelled"}
    masks = {path.name.split(".")[0] for path in (run.results(config) / "masks").rglob("*.lung.png")}
    assert masks == {name for name, row in table.items() if row["status"] == "unlabelled"}


def test_decisions_on_real_files_are_columns(real):
    run, config, _ = real
    table = rows(run, config)
    assert table["RG3_UNCR"]["inverted"] == "true"
    assert table["RG1_UNCR"]["spacing_row_mm"] == "", "0.000 mm is no spacing"
    assert table["Fake_MONOHR1"]["inverted"] == "true"
    assert table["xrv_cr"]["inverted"] == "false"
    assert {table[f"RG3_{name}"]["transfer_syntax"] for name in ("RLE", "JPLL", "JLSL")} == {
        "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
    }  # fmt: skip


def test_no_patient_data_in_any_output_log_or_error(real):
    run, config, output = real
    assert CANARY.decode() not in output
    files = [path for path in run.results(config).rglob("*") if path.is_file()]
    files += [path for path in (run.folder / ".snakemake").rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        assert CANARY not in path.read_bytes(), path
    patients = {row["patient"] for row in rows(run, config).values() if row["status"] == "unlabelled"}
    assert all(len(patient) == 16 for patient in patients)


def test_validate_tells_no_patient_and_the_same_rows_as_the_report(real, tmp_path):
    run, config, _ = real
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    command = [segpipe, "validate", str(run.folder / "real.yaml"), "--output", str(tmp_path / "rows.csv")]
    done = subprocess.run(command, cwd=run.folder, capture_output=True, env=run.environment())
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "rows.csv").read_bytes()
    assert CANARY not in done.stdout + done.stderr + text
    found = {row["image_id"]: row["reason"] for row in csv.DictReader(text.decode().splitlines())}
    assert found == {name: row["reason"] for name, row in rows(run, config).items()}


def test_a_model_applied_to_its_own_training_set_scores_only_what_it_never_saw(real):
    run, config, _ = real
    own = {**config, "name": "own", "data": TINY["data"]}
    run.snakemake(own, "--cores", "2")
    table, honest = rows(run, own), rows(run, TINY)
    for image_id, row in table.items():
        if honest[image_id]["status"] != "scored":
            assert row["status"] == honest[image_id]["status"]
        elif honest[image_id]["fold"] == "0":
            assert (row["status"], row["miou"]) == ("scored", honest[image_id]["miou"])
        else:
            assert (row["status"], row["miou"]) == ("training", "")
            assert "trained on this patient's pictures" in row["reason"]


def test_with_a_given_model_one_changed_image_costs_exactly_its_shard(real):
    run, config, _ = real
    assert run.jobs(config) == {}
    path = run.folder / "archive/dicom/xrv_cr.dcm"
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert run.jobs(config) == {"preprocess": 1, "predict": 1, "score": 1, "report": 1, "check": 1}


def test_a_link_that_points_to_another_model_predicts_everything_again(real):
    run, config, _ = real
    before = run.jobs(config)
    link = run.folder / "current"
    try:
        link.unlink()
        link.symlink_to("results/tiny/models/fold1")
        assert run.jobs(config)["predict"] == 2
    finally:
        link.unlink()
        link.symlink_to("results/tiny/models/fold0")
    assert run.jobs(config) == before


def test_a_model_refuses_pictures_prepared_otherwise(real):
    run, config, _ = real
    other = {**config, "name": "other-size", "preprocess": {"size": 96, "fit": "stretch"}}
    done = run.snakemake(other, "--cores", "1", check=False)
    assert done.returncode != 0
    assert "preprocess.size: 64 (the config says 96)" in done.stdout + done.stderr
    assert json.loads((run.folder / "results/tiny/models/fold0/model.json").read_text())["preprocess"]["size"] == 64
