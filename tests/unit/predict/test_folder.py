import csv
import hashlib
import os
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from segpipe.config import Predict, Preprocess
from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.demo.files import make_phantoms
from segpipe.errors import ConfigError, DiskFullError, InputError, QuarantineError
from segpipe.files.space import SPARE
from segpipe.masks.store import MaskStore
from segpipe.predict.ensemble import find_models
from segpipe.predict.files import find_images
from segpipe.predict.folder import FolderPredictor, outcome, predict_folder, predict_options
from segpipe.predict.shard import predict_shard
from segpipe.preprocess.stage import preprocess_shard
from segpipe.samples.scan import scan
from tests.unit.model_files import SIZE, write_model

PREDICT = {"batch_size": 2, "mirror": True, "smallest_island": 0.1, "fill_holes": True}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Eight small phantoms, DICOM and PNG, the last two broken; and a text among them."""
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 8, scale=0.25)
    (folder / "images/readme").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models of the same name in different folders."""
    folder = tmp_path_factory.mktemp("models")
    return [write_model(folder / "a" / "fold0"), write_model(folder / "b" / "fold0", seed=1)]


def predict(place, models, output, **changes):
    return predict_folder([str(place)], models, output, Predict(**PREDICT | changes))


def record_writing(monkeypatch):
    """The ids of images whose masks are written from now on."""
    written, commit = [], MaskStore.commit

    def commit_and_record(self, image_id, *rest):
        written.append(image_id)
        commit(self, image_id, *rest)

    monkeypatch.setattr(MaskStore, "commit", commit_and_record)
    return written


def masks(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")}


@pytest.fixture(scope="module")
def predicted(phantoms, models, tmp_path_factory):
    output = tmp_path_factory.mktemp("predicted")
    return output, predict(phantoms / "images", models, output).set_index("image_id")


def test_the_masks_are_those_of_the_workflow(phantoms, models, predicted, tmp_path):
    config = parse_config(
        {
            "results": str(tmp_path),
            "classes": {"lung": None, "heart": None},
            "data": {"root": str(phantoms), "images": ["images/{p}.dcm", "images/{p}.png"], "shards": 1},
            "preprocess": {"size": SIZE},
            "model": {"weights": [str(model) for model in models]},
            "predict": PREDICT,
        }
    )
    found, stages = scan(config), stage_configs(config, [])
    (shard,) = found.shards
    preprocess_shard(stages["preprocess"], config.folder / found.table(shard), tmp_path / "store")
    predict_shard(stages["predict"], tmp_path / "store", models, None, tmp_path / "masks", tmp_path / "index.parquet")
    assert len(masks(tmp_path / "masks")) == 2 * 6
    assert masks(predicted[0]) == masks(tmp_path / "masks")


def test_a_file_that_cannot_be_used_costs_its_row(predicted):
    output, table = predicted
    assert len(table) == 9
    bad = table[table["status"] == "quarantined"]
    assert "is in no known picture format" in bad.loc["readme", "reason"]
    assert len(bad) == 3
    assert bad["reason"].str.len().min() > 10
    with (output / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == list(table.index)
    good = next(row for row in rows if row["status"] == "predicted")
    assert good["models"] == "a/fold0 b/fold0"
    assert int(good["removed_pixels"]) + int(good["filled_pixels"]) > 0, "random weights leave specks and holes"
    assert not {"patient", "perceptual_hash", "thumbnail"} & set(good)


def test_too_many_bad_files_end_with_an_error_that_counts_them(predicted):
    output, table = predicted
    with pytest.raises(QuarantineError, match=r"6 of 9 images have masks.*3 could not be read \(33.3%\)"):
        outcome(table, 0.1, output)
    assert outcome(table, 0.5, output).startswith("6 of 9 images have masks")


def test_stopped_and_called_again_it_reads_only_what_is_left(phantoms, models, predicted, tmp_path, monkeypatch):
    written, commit = [], MaskStore.commit

    def commit_two(self, image_id, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(image_id)
        commit(self, image_id, *rest)

    monkeypatch.setattr(MaskStore, "commit", commit_two)
    with pytest.raises(KeyboardInterrupt):
        predict(phantoms / "images", models, tmp_path)
    monkeypatch.setattr(MaskStore, "commit", commit)
    again = record_writing(monkeypatch)
    table = predict(phantoms / "images", models, tmp_path).set_index("image_id")
    assert len(again) == 4
    assert not set(again) & set(written)
    assert masks(tmp_path) == masks(predicted[0])
    assert (tmp_path / "predictions.csv").read_bytes() == (predicted[0] / "predictions.csv").read_bytes()
    assert table["masks_sha256"].equals(predicted[1]["masks_sha256"])


def test_a_changed_file_and_other_settings_are_predicted_again(phantoms, models, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("syn0000_pa1.dcm", "syn0001_pa1.png"):
        (tmp_path / "in" / name).write_bytes((phantoms / "images" / name).read_bytes())
    asked = record_writing(monkeypatch)

    def run(**changes):
        asked.clear()
        predict(tmp_path / "in", models, tmp_path / "in/masks", **changes)
        return list(asked)

    assert run() == ["syn0000_pa1", "syn0001_pa1"], "masks below the images are no images"
    assert run(batch_size=1) == []
    (tmp_path / "in/syn0001_pa1.png").write_bytes((phantoms / "images/syn0003_pa1.png").read_bytes())
    assert run() == ["syn0001_pa1"]
    assert len(run(threshold=0.4)) == 2


def test_a_file_that_changes_after_it_was_read_is_read_again_the_next_time(phantoms, models, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    file = tmp_path / "in/x.dcm"
    shutil.copy(phantoms / "images/syn0000_pa1.dcm", file)
    picture = FolderPredictor._picture

    def change(self, *read):
        shutil.copy(phantoms / "images/syn0002_pa1.dcm", file)
        return picture(self, *read)

    monkeypatch.setattr(FolderPredictor, "_picture", change)
    before = predict(tmp_path / "in", models, tmp_path / "out")["masks_sha256"].tolist()
    monkeypatch.setattr(FolderPredictor, "_picture", picture)
    assert predict(tmp_path / "in", models, tmp_path / "out")["masks_sha256"].tolist() != before


def test_small_files_need_little_room_and_none_at_all_is_too_little(phantoms, models, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SPARE + 10**6))
    predict(phantoms / "images", models, tmp_path / "out")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SPARE))
    with pytest.raises(DiskFullError, match=r"masks of 9 files need about"):
        predict(phantoms / "images", models, tmp_path / "other")


def one_file(folder, source):
    """A folder with a picture whose name, size and time tell nothing."""
    folder.mkdir(parents=True)
    shutil.copy(source, folder / "image.dcm")
    os.utime(folder / "image.dcm", (0, 0))
    return str(folder)


def test_a_file_of_the_same_name_size_and_time_in_another_folder_is_another(phantoms, models, tmp_path, monkeypatch):
    asked = record_writing(monkeypatch)
    source = phantoms / "images/syn0000_pa1.dcm"
    for place in (one_file(tmp_path / "a", source), one_file(tmp_path / "b", source)):
        predict(place, models, tmp_path / "out")
    assert asked == ["image", "image"]


def test_no_mask_of_an_earlier_call_passes_for_one_of_this(phantoms, models, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(phantoms / "images/syn0000_pa1.dcm", tmp_path / "in/x.dcm")

    def run(**changes):
        table = predict(tmp_path / "in", models, tmp_path / "out", **changes)
        return table["status"].tolist(), sorted(masks(tmp_path / "out"))

    both = ["x.heart.png", "x.lung.png"]
    assert run(form="per_class") == (["predicted"], both)
    assert run(form="labels") == (["predicted"], ["x.png"])
    (tmp_path / "out/x.lung.png").write_bytes(b"somebody's")
    assert run(form="per_class") == (["predicted"], both)
    (tmp_path / "out/x.png").write_bytes(b"somebody's")
    (tmp_path / "in/x.dcm").write_bytes(b"no picture any more")
    assert run(form="per_class") == (["quarantined"], ["x.png"])
    assert (tmp_path / "out/journal.csv").read_text() == ""


def test_files_that_are_not_its_own_are_not_written_over(phantoms, models, tmp_path):
    place = one_file(tmp_path / "in", phantoms / "images/syn0000_pa1.dcm")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/image.lung.png").write_bytes(b"drawn by a person")
    with pytest.raises(InputError, match=r"image\.lung\.png lies there and 1 of its files would be written over"):
        predict(place, models, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image.lung.png"]
    with pytest.raises(InputError, match=r"lies in --output .*, where masks are, not images"):
        predict(f"{place}/*.dcm", models, tmp_path)


def test_what_cannot_work_is_said_before_anything_is_read_or_written(phantoms, models, tmp_path):
    with pytest.raises(ConfigError, match=r"--threshold 2: input should be less than 1\."):
        predict_options(threshold=2)
    broken = write_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes((models[0] / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        predict(phantoms / "images", [models[0], broken], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_that_trained_a_model_and_masks_that_are_left_are_mentioned(
    phantoms, models, tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO", logger="segpipe")
    image = phantoms / "images/syn0001_pa1.png"
    predict(phantoms / "images/syn0000_pa1.dcm", models, tmp_path / "out")
    hashes, picture = [], FolderPredictor._picture

    def note(self, sample, reading):
        hashes.append(reading.row["picture"])
        return picture(self, sample, reading)

    monkeypatch.setattr(FolderPredictor, "_picture", note)
    predict(image, models, tmp_path / "other")
    seen = write_model(tmp_path / "fold0")
    (seen / "training.csv").write_text("\n".join(["picture", *hashes]) + "\n")
    table = predict(image, [seen], tmp_path / "out")
    assert table["seen"].tolist() == [True]
    assert "1 of these pictures trained the models" in caplog.text
    assert "also holds masks of 1 images" in caplog.text
    assert (tmp_path / "out/syn0000_pa1.lung.png").exists()


def test_files_are_read_as_the_model_says(models, tmp_path):
    pages = [np.random.default_rng(page).integers(0, 256, (90, 70), np.uint8) for page in range(3)]
    (tmp_path / "in").mkdir()
    cv2.imwritemulti(str(tmp_path / "in/x.tif"), pages)
    cv2.imwrite(str(tmp_path / "second.png"), pages[1])
    second = write_model(tmp_path / "second", raster={"page": 2})
    assert predict(tmp_path / "in", [second], tmp_path / "out")["status"].tolist() == ["predicted"]
    predict(tmp_path / "second.png", [second], tmp_path / "alone")
    found, wanted = (sorted(masks(tmp_path / name).values()) for name in ("out", "alone"))
    assert found == wanted
    old = predict(tmp_path / "in", [models[0]], tmp_path / "old")
    assert old["status"].tolist() == ["quarantined"], "a card without raster means the defaults"


def test_models_that_do_not_belong_together_are_refused(phantoms, models, tmp_path):
    other = write_model(tmp_path / "other", classes=("heart", "lung"))
    with pytest.raises(ConfigError, match=r"needs\n  classes: heart, lung in this order \(.*fold0 says lung, heart\)"):
        predict(phantoms / "images", [models[0], other], tmp_path / "out")
    stretched = write_model(tmp_path / "stretched", preprocess=Preprocess(size=SIZE, fit="stretch"))
    with pytest.raises(ConfigError, match=r"preprocess.fit: 'stretch' \(.*fold0 says 'letterbox'\)"):
        predict(phantoms / "images", [models[0], stretched], tmp_path / "out")


def test_a_model_is_a_folder_a_run_or_a_bundle(tmp_path):
    for name in ("run/models/fold0", "run/models/fold1", "bundle/models"):
        write_model(tmp_path / name)
    both = [tmp_path / "run/models/fold0", tmp_path / "run/models/fold1"]
    assert find_models(tmp_path / "run/models/fold1") == both[1:]
    assert find_models(tmp_path / "run/models") == both
    assert find_models(tmp_path / "run") == both
    assert find_models(tmp_path / "bundle") == [tmp_path / "bundle/models"]
    with pytest.raises(InputError, match="does not exist"):
        find_models(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no model"):
        find_models(tmp_path)


def test_files_are_named_by_folder_file_or_pattern(tmp_path):
    for name in ("a/x.png", "a/x.dcm", "a/deep/y.png", "masks/z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    def found(*places):
        root, samples = find_images([str(tmp_path / place) for place in places], tmp_path / "masks")
        return root.relative_to(tmp_path).as_posix(), {sample.image: sample.image_id for sample in samples}

    assert found("a") == ("a", {"deep/y.png": "deep__y", "x.dcm": "x.dcm", "x.png": "x.png"})
    assert found("a/x.png", "a/deep/y.png") == ("a", {"deep/y.png": "deep__y", "x.png": "x"})
    assert found("**/*.png") == ("a", {"deep/y.png": "deep__y", "x.png": "x"})
    assert found("") == (".", {"a/deep/y.png": "a__deep__y", "a/x.dcm": "a__x.dcm", "a/x.png": "a__x.png"})
    with pytest.raises(InputError, match="does not exist"):
        found("b")
    with pytest.raises(InputError, match="lies in --output"):
        found("masks")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file there"):
        found("empty")


def test_all_masks_go_into_one_table_and_back(phantoms, models, predicted, tmp_path):
    table = predict(phantoms / "images", models, tmp_path, masks="rle")
    assert {path.name for path in tmp_path.iterdir()} == {"journal.csv", "predictions.csv", "masks.parquet"}
    left = ["masks_sha256"]  # hashes of run lengths
    pd.testing.assert_frame_equal(table.drop(columns=left), predicted[1].reset_index().drop(columns=left))
    again = predict(phantoms / "images", models, tmp_path)
    assert not (tmp_path / "masks.parquet").exists()
    assert masks(tmp_path) == masks(predicted[0])
    assert (tmp_path / "predictions.csv").read_bytes() == (predicted[0] / "predictions.csv").read_bytes()
    assert list(again.columns) == list(table.columns)


def test_a_table_that_is_not_its_own_is_not_written_over(phantoms, models, tmp_path):
    (tmp_path / "masks.parquet").write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"masks\.parquet lies there"):
        predict(phantoms / "images", models, tmp_path, masks="rle")
    assert (tmp_path / "masks.parquet").read_bytes() == b"somebody's"
