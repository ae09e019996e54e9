import hashlib
import json
import logging
import logging.config
import warnings

import numpy as np
import pytest
import torch
from monai import bundle

from segpipe.config import Dicom, Predict, Preprocess
from segpipe.demo.files import make_phantoms
from segpipe.errors import InputError
from segpipe.interop.export_model import export_model
from segpipe.interop.graph import run_onnx
from segpipe.masks.encode import Layout
from segpipe.masks.store import MaskReader
from segpipe.models.card import read_card
from segpipe.predict.folder import predict_folder
from segpipe.predict.postprocess import postprocessing
from segpipe.preprocess.transforms import preprocessing
from tests.unit.model_files import write_model

pytestmark = [
    # MONAI warns of any config that it parses: it may run code.
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*args_file.*:UserWarning"),
]
CLASSES = {
    "per_class": {"lung": None, "heart": None},
    "labels": {"right_lung": [1], "left_lung": [2], "heart": [5]},
}


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch):
    """A bundle's logging.conf gives the root logger a handler on this test's captured stdout, which is closed later.

    It also closes all handlers there are; absl's, which other tests' libraries bring, then closes the captured stderr.
    """
    monkeypatch.setattr(logging.config, "_clearExistingHandlers", lambda: None)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 7, scale=0.25)
    return folder / "images"


@pytest.fixture(params=CLASSES)
def exported(request, tmp_path):
    model = write_model(tmp_path / "model", classes=CLASSES[request.param])
    export_model(model, tmp_path / "bundle", ["bundle"])
    return model, tmp_path / "bundle"


def masks(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")}


def configs(folder):
    return {"config_file": str(folder / "configs/inference.json"), "meta_file": str(folder / "configs/metadata.json")}


def test_monai_runs_it_with_the_masks_of_the_engine_torch(exported, phantoms, tmp_path, capsys):
    model, folder = exported
    places = {"dataset_dir": str(phantoms), "output_dir": str(tmp_path / "monai")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bundle.run(**configs(folder), bundle_root=str(folder), **places)
    table = predict_folder([str(phantoms)], [model], tmp_path / "segpipe", Predict(engine="torch"))
    assert (table["status"] == "predicted").sum() == 5
    assert masks(tmp_path / "monai") == masks(tmp_path / "segpipe")
    assert masks(tmp_path / "monai")
    assert (tmp_path / "monai/predictions.csv").read_text().count("quarantined") == 2
    capsys.readouterr()


def test_segpipe_takes_the_bundle_for_the_model(exported, phantoms, tmp_path):
    model, folder = exported
    for name, place in (("model", model), ("bundle", folder)):
        predict_folder([str(phantoms)], [place], tmp_path / name, Predict())
    assert masks(tmp_path / "model") == masks(tmp_path / "bundle")


def test_it_has_what_monai_asks_of_a_bundle(exported):
    _, folder = exported
    bundle.verify_net_in_out(net_id="network_def", device="cpu", **configs(folder))
    workflow = bundle.create_workflow(**configs(folder), workflow_type="inference", bundle_root=str(folder))
    assert workflow.check_properties() == []
    with pytest.raises(InputError, match="There is no image to predict"):
        workflow.evaluator.run()
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    wanted = {"version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"}
    assert {*wanted, "task", "description", "authors", "copyright", "network_data_format"} <= set(metadata)
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["0"] in {"lung", "right_lung"}


def test_the_weights_for_other_programs_are_tensors_only(exported):
    model, folder = exported
    from safetensors.torch import load_file

    plain, safe = torch.load(folder / "models/model.pt", weights_only=True), load_file(model / "model.safetensors")
    assert plain.keys() == safe.keys()
    assert all(torch.equal(plain[name], safe[name]) for name in safe)


def test_onnxruntime_makes_the_same_masks_at_the_original_size(phantoms, tmp_path):
    model = write_model(tmp_path / "model")
    export_model(model, tmp_path / "out", ["onnx"])
    predict_folder([str(phantoms)], [model], tmp_path / "masks", Predict(engine="torch"))
    card, run = read_card(tmp_path / "out/models"), run_onnx(tmp_path / "out/models/model.onnx")
    prepare = preprocessing({}, "quarantine", Preprocess(**card.preprocess), Dicom(**card.dicom))
    finish = postprocessing(Predict(), exclusive=False)
    for name in ("syn0000_pa1.dcm", "syn0001_pa1.png", "syn0002_pa1.dcm"):
        data = prepare({"image": phantoms / name, "invert": None})
        probability = 1 / (1 + np.exp(-run(data["image"][np.newaxis] / np.float32(255))[0]))
        found = finish({"probability": probability, "geometry": data["geometry"]})["mask"]
        wanted = MaskReader(tmp_path / "masks", Layout(card.classes, "per_class")).masks(name[:-4])
        assert found.shape == wanted.shape
        assert np.count_nonzero(found != wanted) == 0
