import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from segpipe.config import Checks, Folds
from segpipe.config.stages import DatasetStage
from segpipe.dataset.stage import gather
from segpipe.errors import InputError
from segpipe.preprocess.quality import perceptual_hash
from segpipe.preprocess.store import write_table

STAGE = DatasetStage(seed=0, classes=["lung"], duplicates="error", checks=Checks(), folds=Folds(k=2))


def thumbnail(seed, brighter=0):
    """A smooth picture, another one for each seed."""
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 8)).astype(np.float32)
    smooth = cv2.resize(noise, (32, 32), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth * (1 + brighter), 0, 255).astype(np.uint8)


def fingerprints(small):
    return {"perceptual_hash": perceptual_hash(small), "thumbnail": small.tobytes()}


def row(number, **changes):
    return {
        "image_id": f"i{number:02d}", "image": f"i{number:02d}.png", "patient": f"p{number}", "site": "",
        "fold_wanted": "",
        "status": "labelled", "notes": "", "picture": f"s{number}", "content": f"c{number}",
        **fingerprints(thumbnail(number)), **changes,
    }  # fmt: skip


def tables(folder: Path, rows, shards=2):
    paths = []
    for shard in range(shards):
        paths.append(folder / f"{shard:04d}" / "table.parquet")
        write_table(paths[-1], pd.DataFrame(rows[shard::shards]))
    return paths


def test_the_fingerprint_and_folds_do_not_depend_on_the_shards(tmp_path):
    rows = [row(n) for n in range(12)]
    for name, shards in (("a", 2), ("b", 3)):
        gather(STAGE, tables(tmp_path / name, rows, shards), tmp_path / name)
    first, second = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in "ab")
    assert first == second
    one, two = (pd.read_parquet(tmp_path / name / "dataset.parquet") for name in "ab")
    columns = [name for name in one if name not in ("shard", "row")]
    pd.testing.assert_frame_equal(one[columns], two[columns])
    assert one["image_id"].is_monotonic_increasing
    assert {"role:fold0", "role:fold1"} <= set(one)


def test_row_numbers_point_into_the_shards(tmp_path):
    paths = tables(tmp_path, [row(n) for n in range(9)])
    gather(STAGE, paths, tmp_path)
    for _, image in pd.read_parquet(tmp_path / "dataset.parquet").iterrows():
        shard = pd.read_parquet(tmp_path / image["shard"] / "table.parquet")
        assert shard["image_id"].iloc[image["row"]] == image["image_id"]


def test_the_same_picture_labelled_in_two_folds_are_an_error_naming_both(tmp_path):
    rows = [row(n) for n in range(12)]
    gather(STAGE, tables(tmp_path, rows), tmp_path)
    folds = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["fold"]
    first, other = folds[folds == "0"].index[0], folds[folds == "1"].index[0]
    copies = [{**item, "picture": "same"} if item["image_id"] in (first, other) else item for item in rows]
    with pytest.raises(InputError) as caught:
        gather(STAGE, tables(tmp_path, copies), tmp_path)
    assert f"{first}.png" in str(caught.value)
    assert f"{other}.png" in str(caught.value)
    gather(STAGE.model_copy(update={"duplicates": "warn"}), tables(tmp_path, copies), tmp_path)
    duplicate = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["duplicate_of"]
    assert duplicate[max(first, other)] == min(first, other)
    assert (duplicate != "").sum() == 1


def test_near_duplicates_labelled_in_two_folds_are_an_error_naming_both(tmp_path):
    rows = [row(n) for n in range(12)]
    gather(STAGE, tables(tmp_path, rows), tmp_path)
    folds = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["fold"]
    first, other = (folds[folds == fold].index[0] for fold in "01")
    brighter = fingerprints(thumbnail(int(first[1:]), brighter=0.08))
    copies = [{**item, **brighter} if item["image_id"] == other else item for item in rows]
    with pytest.raises(InputError) as caught:
        gather(STAGE, tables(tmp_path, copies), tmp_path)
    assert f"{first}.png" in str(caught.value)
    assert f"{other}.png" in str(caught.value)
    assert "Near duplicates" in str(caught.value)
    gather(STAGE.model_copy(update={"duplicates": "warn"}), tables(tmp_path, copies), tmp_path)
    near = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["near_duplicate_of"]
    assert near[max(first, other)] == min(first, other)
    assert json.loads((tmp_path / "dataset.json").read_text())["near_duplicates"] == 1
    exact_only = STAGE.model_copy(update={"checks": Checks(near_duplicates=0)})
    gather(exact_only, tables(tmp_path, copies), tmp_path)


def test_exact_and_near_duplicates_across_folds_are_told_in_one_go(tmp_path):
    rows = [row(n) for n in range(12)]
    gather(STAGE, tables(tmp_path, rows), tmp_path)
    folds = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["fold"]
    (first, third), (other, fourth) = (folds[folds == fold].index[:2] for fold in "01")
    near = fingerprints(thumbnail(int(third[1:]), brighter=0.08))
    changes = {first: {"picture": "same"}, other: {"picture": "same"}, fourth: near}
    with pytest.raises(InputError) as caught:
        gather(STAGE, tables(tmp_path, [item | changes.get(item["image_id"], {}) for item in rows]), tmp_path)
    for text in ("Pictures labelled in more than one fold: 1.", "Near duplicates of", f"{other}.png", f"{fourth}.png"):
        assert text in str(caught.value)


def test_near_duplicates_of_one_patient_or_without_labels_are_no_error(tmp_path):
    rows = [row(n) for n in range(12)]
    same = fingerprints(thumbnail(0, brighter=0.08))
    for change in ({"patient": "p0"}, {"status": "unlabelled"}):
        gather(STAGE, tables(tmp_path, [*rows, row(20, **same, **change)]), tmp_path)
        near = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")["near_duplicate_of"]
        assert near["i20"] == "i00"


def test_an_unlabelled_image_is_the_copy_of_a_labelled_one_not_the_other_way_round(tmp_path):
    rows = [row(n) for n in range(1, 12)]
    gather(STAGE, tables(tmp_path, [row(0, picture="s7", status="unlabelled"), *rows]), tmp_path)
    images = pd.read_parquet(tmp_path / "dataset.parquet").set_index("image_id")
    assert images.loc["i00", "duplicate_of"] == "i07"
    assert images.loc["i07", "duplicate_of"] == ""


def test_a_patient_in_two_folds_is_a_bug(tmp_path, monkeypatch):
    monkeypatch.setattr("segpipe.dataset.stage.assign_folds", lambda images, *_: pd.Series(["0", "1"] * 6))
    rows = [row(n, patient="p") for n in range(12)]
    with pytest.raises(RuntimeError, match="1 patients are in more than one fold"):
        gather(STAGE, tables(tmp_path, rows), tmp_path)


def test_nothing_labelled_is_an_error_with_counts(tmp_path):
    rows = [row(n, status="quarantined", picture=None) for n in range(4)]
    with pytest.raises(InputError, match=r"None of the 4 images has a usable mask \(4 are quarantined\)"):
        gather(STAGE, tables(tmp_path, rows), tmp_path)


def test_a_class_that_never_occurs_is_warned_about(tmp_path, caplog):
    rows = [row(n, notes="other; mask_empty:lung") for n in range(8)]
    gather(STAGE, tables(tmp_path, rows), tmp_path)
    assert json.loads((tmp_path / "dataset.json").read_text())["empty_masks"] == {"lung": 8}
    assert "class lung occurs in none of the 8 labelled images" in caplog.text


def test_a_class_of_any_name_is_counted(tmp_path):
    stage = STAGE.model_copy(update={"classes": ["lung (left)", "lung"]})
    rows = [row(n, notes="mask_empty:lung (left)" if n < 3 else "") for n in range(8)]
    gather(stage, tables(tmp_path, rows), tmp_path)
    assert json.loads((tmp_path / "dataset.json").read_text())["empty_masks"] == {"lung (left)": 3, "lung": 0}


def test_a_class_that_a_model_never_meets_is_warned_about_with_the_role(tmp_path, caplog):
    rows = [row(n, fold_wanted=str(n % 2)) for n in range(12)]
    own = STAGE.model_copy(update={"folds": Folds(k=2, column="part")})
    gather(own, tables(tmp_path, rows), tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["absent_classes"] == {}
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    only_first = [item if item["fold_wanted"] == "0" else {**item, "notes": "mask_empty:lung"} for item in rows]
    gather(own, tables(tmp_path, only_first), tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["absent_classes"]["fold0"] == {"train": ["lung"], "val": ["lung"]}
    assert facts["absent_classes"]["fold1"]["test"] == ["lung"]
    assert "fold1: of its 6 images to be tested on none shows lung. Its scores say noth" in caplog.text
    assert "occurs in none" not in caplog.text


def test_a_rare_class_is_dealt_out_so_that_every_model_meets_it(tmp_path):
    rows = [row(n, notes="" if n < 4 else "mask_empty:lung") for n in range(12)]
    gather(STAGE, tables(tmp_path, rows), tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["patients_by_fold"] == facts["labelled_by_fold"] == {"0": 6, "1": 6}
    assert not any("train" in absent or "test" in absent for absent in facts["absent_classes"].values())


def test_a_copy_in_another_format_has_the_same_picture_hash(tmp_path):
    import numpy as np
    from PIL import Image

    from segpipe.config import Dicom, Preprocess, Raster
    from segpipe.config.stages import PreprocessStage
    from segpipe.preprocess.read import read_sample
    from segpipe.preprocess.transforms import preprocessing
    from segpipe.samples.sample import Sample

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 90), np.uint8))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.bmp")
    stage = PreprocessStage(
        root=tmp_path, classes={"lung": None}, missing_mask="quarantine", links="inside", version="",
        patient_salt_file=None, patient_salt_stamp="", seconds_per_image=60, dicom=Dicom(), raster=Raster(),
        preprocess=Preprocess(size=64),
    )  # fmt: skip
    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom)
    one, two = (read_sample(Sample(name, name), stage, compose, b"")[1] for name in ("a.png", "b.bmp"))
    assert one["sha256"] != two["sha256"]
    assert one["picture"] == two["picture"] == one["content"]
