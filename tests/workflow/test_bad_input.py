"""What users see when something is wrong: the file or key, what was found, and what to do."""

import shutil

import pytest

from tests.workflow.conftest import TINY, Run


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train": {"epoch": 3}}, ["train.epoch", "did you mean train.epochs?"]),
        ({"model": {"network": "unett"}}, ["unett", "unet"]),
        ({"model": {"options": {"chanels": [4]}}}, ["chanels", "channels"]),
        ({"model": {"weights": "nowhere"}}, ["nowhere/model.json is not a segpipe model"]),
        ({"data": {**TINY["data"], "images": "images/{patient}-{view}.bmp"}}, ["matches none of the 16 files"]),
        (
            {"data": {**TINY["data"], "images": ["images/{patient}_{view}.png", "./images/{patient}_{view}.png"]}},
            ["image ids"],
        ),
    ],
)
def test_a_wrong_config_stops_at_once_with_the_key_and_a_remedy(run: Run, change, says):
    done = run.snakemake({**TINY, "name": "wrong", **change}, "--cores", "1", "-n", check=False)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    for text in says:
        assert text in output
    assert "Traceback" not in output


def test_bad_files_cost_their_rows_and_too_many_fail_the_run_after_the_report(run: Run):
    data = run.folder / "fé w"
    shutil.copytree(run.folder / "data", data)
    masks = sorted((data / "masks/lung").glob("*.png"))
    masks[0].write_bytes(b"")
    masks[1].unlink()
    config = {
        **TINY,
        "name": "few",
        "results": "my results",  # spaces and letters beyond ASCII belong to the test
        "data": {**TINY["data"], "root": "fé w", "shards": 1, "tolerate": 0.05},
        "folds": {"scheme": "holdout", "test_fraction": 0.4, "val_fraction": 0.3},
        "train": {**TINY["train"], "epochs": 1},
    }
    done = run.snakemake(config, "--cores", "2", check=False)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "4 of 16 images are quarantined (25.0%), more than data.tolerate allows (5.0%)" in output
    report = ((run.folder / "my results/few") / "report.csv").read_text()
    assert report.count(",quarantined,") == 4
    assert f"mask masks/lung/{masks[0].name} is empty" in report
    assert ",training," in report
    assert ",scored," in report
    assert "training" in ((run.folder / "my results/few") / "summary.json").read_text()
