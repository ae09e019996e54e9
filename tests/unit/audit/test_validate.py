"""`segpipe validate`, from a config to its report and exit code."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from segpipe.demo.files import make_phantoms

SEGPIPE = str(Path(sys.executable).with_name("segpipe"))
CONFIG = {
    "classes": {"lung": None, "heart": None},
    "data": {
        "root": "data",
        "images": ["images/{patient}_{view}.dcm", "images/{patient}_{view}.png"],
        "masks": {name: f"masks/{name}/{{patient}}_{{view}}.png" for name in ("lung", "heart")},
        "tolerate": 0.2,
    },
    "preprocess": {"size": 128},
    "folds": {"k": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dozen phantoms, one of them turned into a negative."""
    folder = tmp_path_factory.mktemp("validate")
    make_phantoms(folder / "data", 12, 3, scale=0.5)
    images = sorted((folder / "data/images").glob("*.png"))
    negative = Image.open(images[1]).convert("L").point(lambda value: 255 - value)
    negative.save(images[1])
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def validate(folder, config=None, *options):
    path = folder / "config.yaml"
    if config:
        path = folder / "other.yaml"
        path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [SEGPIPE, "validate", str(path), "--cores", "2", *options],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    assert "Traceback" not in done.stderr
    return done


def test_the_report_counts_and_names_what_is_worth_a_look(folder):
    before = sorted(folder.rglob("*"))
    done = validate(folder, None, "--output", str(folder / "rows.csv"))
    assert done.returncode == 0, done.stderr
    negative = sorted((folder / "data/images").glob("*.png"))[1].stem
    for text in ("12 images of", "2 quarantined", "ends too early", "Spacing: known for", "lung", "heart", "Folds: 0:"):
        assert text in done.stdout
    assert f"polarity     1: {negative} (-" in done.stdout
    text = (folder / "rows.csv").read_text(encoding="utf-8")
    rows = {row["image_id"]: row for row in csv.DictReader(text.splitlines())}
    assert len(rows) == 12
    assert rows[negative]["flags"] == "polarity"
    assert rows[negative]["miou"] == ""
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "rows.csv"]), "nothing else is written"


def test_the_same_report_for_any_number_of_processes(folder):
    assert validate(folder).stdout == validate(folder, None, "--cores", "1").stdout


def test_too_many_quarantined_images_have_the_exit_code_of_check(folder):
    done = validate(folder, {**CONFIG, "data": {**CONFIG["data"], "tolerate": 0.01}})
    assert done.returncode == 5
    assert "12 images of" in done.stdout
    assert "2 of 12 images are quarantined" in done.stderr


def test_a_copy_in_another_fold_ends_as_input_error_after_the_report(tmp_path, folder):
    shutil.copytree(folder / "data", tmp_path / "data")
    image = sorted((tmp_path / "data/images").glob("*.png"))[0]
    pixels = np.asarray(Image.open(image).convert("L")).astype(float)
    for number in range(4):  # at least one of four new patients is in the other fold
        name = f"copy{number}_pa1.png"
        brighter = (pixels * (0.95 - 0.01 * number)).astype(np.uint8)
        Image.fromarray(brighter).save(tmp_path / "data/images" / name)
        for cls in ("lung", "heart"):
            shutil.copy(tmp_path / "data/masks" / cls / image.name, tmp_path / "data/masks" / cls / name)
    done = validate(tmp_path, CONFIG)
    assert done.returncode == 4
    assert "Near duplicates of pictures labelled in another fold: " in done.stderr
    assert "Duplicates: 0 exact, 4 near" in done.stdout
    assert f"copy0_pa1 is nearly {image.stem}" in done.stdout or f"{image.stem} is nearly copy0_pa1" in done.stdout
    warned = validate(tmp_path, {**CONFIG, "data": {**CONFIG["data"], "duplicates": "warn"}})
    assert warned.returncode == 0


def test_a_wrong_config_is_said_before_anything_is_read(folder):
    assert validate(folder, {**CONFIG, "chekcs": {}}).returncode == 3
    assert validate(folder, {**CONFIG, "report": {"by": ["flagss"]}}).returncode == 3
    assert validate(folder, {**CONFIG, "data": {**CONFIG["data"], "root": "nowhere"}}).returncode == 4


def test_augmentation_that_training_would_refuse_is_refused_at_once(folder):
    done = validate(folder, {**CONFIG, "train": {"augment": [{"name": "RandFlop", "keys": "image"}]}})
    assert done.returncode == 3
    assert "no transform 'RandFlop'" in done.stderr
    assert done.stdout == ""
