import hashlib
import json
import shutil
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from segpipe.config import Predict
from segpipe.errors import ConfigError, InputError
from segpipe.masks.encode import Layout
from segpipe.masks.store import MaskReader
from segpipe.predict.shard import images_seen, predict_shard
from segpipe.train.stage import train_model
from tests.unit.prepared import stage


@pytest.fixture(scope="module")
def models(prepared, tmp_path_factory):
    """Two models that differ: one per fold."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("fold0", "fold1"):
        train_model(stage("train"), prepared / "dataset.parquet", prepared / "shards", name, folder / name)
    return [folder / "fold0", folder / "fold1"]


def predict(prepared, models, output, dataset=True, label_masks=False, **changes):
    wanted = stage("predict").model_copy(update={"predict": Predict(**changes), "label_masks": label_masks})
    table = prepared / "dataset.parquet" if dataset else None
    predict_shard(wanted, prepared / "shards/0000", models, table, output / "masks", output / "index.parquet")
    return pd.read_parquet(output / "index.parquet").set_index("image_id")


def read_masks(masks, image_id, form, classes):
    with MaskReader(masks, Layout(classes, form)) as reader:
        return reader.masks(image_id)


def files(output):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (output / "masks").glob("*.png")}


def test_each_image_is_predicted_by_the_model_that_never_saw_its_patient(prepared, models, tmp_path):
    index = predict(prepared, models, tmp_path)
    folds = pd.read_parquet(prepared / "dataset.parquet").set_index("image_id")["fold"]
    assert index["predicted"].all()
    for image_id, row in index.iterrows():
        assert row["models"] == f"fold{folds[image_id]}"
    masks = read_masks(tmp_path / "masks", "i04", "per_class", stage("predict").classes)
    assert masks.shape == (2, 100, 84), "at the original size"


def test_without_folds_all_models_decide_together(prepared, models, tmp_path):
    index = predict(prepared, models, tmp_path, dataset=False)
    assert set(index["models"]) == {"fold0 fold1"}
    predict(prepared, models[:1], tmp_path / "one", dataset=False)
    assert files(tmp_path) != files(tmp_path / "one")


def test_given_models_of_one_name_both_decide(prepared, models, tmp_path):
    copies = [tmp_path / place / "model" for place in "ab"]
    for source, copy in zip(models, copies, strict=True):
        shutil.copytree(source, copy)
    index = predict(prepared, copies, tmp_path / "same", dataset=False)
    assert set(index["models"]) == {"a/model b/model"}
    predict(prepared, models, tmp_path / "plain", dataset=False)
    assert files(tmp_path / "same") == files(tmp_path / "plain")


def test_repeats_of_a_fold_predict_the_fold_together(prepared, models, tmp_path):
    repeats = [tmp_path / name for name in ("fold0", "fold0-r2")]
    for source, copy in zip(models, repeats, strict=True):
        shutil.copytree(source, copy)
    index = predict(prepared, repeats, tmp_path)
    folds = pd.read_parquet(prepared / "dataset.parquet").set_index("image_id")["fold"]
    assert index["models"].to_dict() == {name: "fold0 fold0-r2" if folds[name] == "0" else "" for name in index.index}


def test_tidied_pixels_are_counted_and_kept_masks_know_their_count(prepared, models, tmp_path):
    first = predict(prepared, models, tmp_path, smallest_island=0.2, fill_holes=True)
    plain = predict(prepared, models, tmp_path / "plain")
    assert (plain[["removed_pixels", "filled_pixels"]] == 0).all(axis=None)
    classes = stage("predict").classes
    for image_id, row in first.iterrows():
        tidy, raw = (read_masks(f / "masks", image_id, "per_class", classes) for f in (tmp_path, tmp_path / "plain"))
        assert tidy.sum() - raw.sum() == row["filled_pixels"] - row["removed_pixels"]
    assert first["removed_pixels"].sum() > 0
    pd.testing.assert_frame_equal(first, predict(prepared, models, tmp_path, smallest_island=0.2, fill_holes=True))


def test_a_given_model_knows_the_pictures_it_was_trained_on(prepared, models, tmp_path):
    index = predict(prepared, models[:1], tmp_path, dataset=False)
    folds = pd.read_parquet(prepared / "dataset.parquet").set_index("image_id")["fold"]
    assert index["predicted"].all()
    assert index["seen"].to_dict() == {image_id: folds[image_id] != "0" for image_id in index.index}
    assert not predict(prepared, models, tmp_path / "run")["seen"].any(), "models of a run predict what they never saw"


def test_patients_that_a_model_of_the_run_knows_through_model_init_are_not_scored(prepared, models, tmp_path, caplog):
    table = pd.read_parquet(prepared / "dataset.parquet")
    tested = table[(table["shard"] == "0000") & (table["fold"] == "0")]["image_id"].tolist()
    init = tmp_path / "init"
    shutil.copytree(models[1], init)  # it was trained on what fold 0 tests
    (init / "training.csv").write_text("picture\n" + table.set_index("image_id")["picture"][tested[0]] + "\n")
    tuned = stage("train", epochs=1)
    tuned = tuned.model_copy(update={"model": tuned.model.model_copy(update={"init": init})})
    train_model(tuned, prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path / "fold0")
    folders = [tmp_path / "fold0", models[1]]
    seen = predict(prepared, folders, tmp_path)["seen"]
    assert seen[seen].index.tolist() == tested[:1]
    assert "1 of these images are not scored" in caplog.text
    table.loc[table["image_id"].isin(tested), "patient"] = "one"
    assert len(tested) > 1
    store = pd.read_parquet(prepared / "shards/0000/table.parquet")
    known = images_seen(
        store.assign(patient=store["image_id"].map(table.set_index("image_id")["patient"])),
        {folder.name: folder for folder in folders},
        [["fold0"] if image_id in tested else ["fold1"] for image_id in store["image_id"]],
        table_of(table, tmp_path),
    )
    assert store["image_id"][known].tolist() == tested, "other pictures of a patient that it saw"


def table_of(table, folder):
    table.to_parquet(folder / "dataset.parquet")
    return folder / "dataset.parquet"


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_does_not_change_a_pixel(prepared, models, tmp_path, batch_size):
    predict(prepared, models, tmp_path / "a", batch_size=4)
    predict(prepared, models, tmp_path / "b", batch_size=batch_size)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_index_names_the_engine_and_how_far_it_was_from_pytorch(prepared, models, tmp_path):
    index = predict(prepared, models, tmp_path / "torch", engine="torch")
    assert set(index["engine"]) == {f"torch {version('torch')} float32"}
    assert set(index["parity"]) == {0.0}
    half = predict(prepared, models, tmp_path / "half", engine="torch", precision="bfloat16")
    assert set(half["engine"]) == {f"torch {version('torch')} bfloat16"}
    assert ((half["parity"] > 0) & (half["parity"] < 0.1)).all()


def test_a_label_image_gives_each_pixel_its_likeliest_class(prepared, models, tmp_path):
    overlapping = predict(prepared, models, tmp_path / "a", threshold=0.05)
    labels = predict(prepared, models, tmp_path / "b", threshold=0.05, label_masks=True)
    assert set(overlapping["form"]) == {"per_class"}
    assert set(labels["form"]) == {"labels"}
    classes = stage("predict").classes
    both = read_masks(tmp_path / "a/masks", "i02", "per_class", classes)
    one = read_masks(tmp_path / "b/masks", "i02", "labels", classes)
    assert both.all(axis=0).any(), "so low a threshold makes classes overlap"
    assert not one.all(axis=0).any()
    np.testing.assert_array_equal(one.any(axis=0), both.any(axis=0))


def test_monais_sliding_window_agrees_where_one_window_holds_the_picture(prepared, models, tmp_path):
    predict(prepared, models, tmp_path / "a")
    predict(prepared, models, tmp_path / "b", inferer="sliding_window")
    for image_id in ("i00", "i02"):
        one, other = (
            read_masks(tmp_path / name / "masks", image_id, "per_class", stage("predict").classes) for name in "ab"
        )
        assert (one != other).mean() < 0.001


def test_images_that_left_lose_their_masks_and_settings_make_new_ones(prepared, models, tmp_path, caplog):
    caplog.set_level("INFO", logger="segpipe")
    first = predict(prepared, models, tmp_path)
    (tmp_path / "masks/gone.lung.png").write_bytes(b"")
    again = predict(prepared, models, tmp_path)
    assert "6 masks, 6 of them kept" in caplog.text
    assert "gone.lung.png" not in files(tmp_path)
    pd.testing.assert_frame_equal(first, again)
    other = predict(prepared, models, tmp_path, threshold=0.3)
    assert "6 masks, 0 of them kept" in caplog.text
    assert (other["masks_sha256"] != first["masks_sha256"]).any()


def test_models_that_do_not_fit_are_refused_with_what_differs(prepared, models, tmp_path):
    with pytest.raises(InputError, match="is not a segpipe model"):
        predict(prepared, [tmp_path / "nowhere"], tmp_path, dataset=False)
    folder = tmp_path / "model"
    folder.mkdir()
    card = json.loads((models[0] / "model.json").read_text())
    (folder / "model.safetensors").write_bytes((models[0] / "model.safetensors").read_bytes())
    (folder / "model.json").write_text(json.dumps({**card, "preprocess": {**card["preprocess"], "fit": "stretch"}}))
    with pytest.raises(ConfigError, match=r"preprocess\.fit: 'stretch'"):
        predict(prepared, [folder], tmp_path, dataset=False)
    (folder / "model.json").write_text(json.dumps({**card, "options": {"channels": [4, 8], "num_res_units": 0}}))
    with pytest.raises(InputError, match="does not fit the network 'unet'"):
        predict(prepared, [folder], tmp_path, dataset=False)
