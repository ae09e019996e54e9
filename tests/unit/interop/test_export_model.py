import json
import shutil

import onnx
import pandas as pd
import pytest

from segpipe.config import Score
from segpipe.config.load import parse_config
from segpipe.demo.files import make_phantoms
from segpipe.errors import ConfigError, InputError
from segpipe.interop.export_model import check_formats, export_model
from segpipe.models.weights import weights_hash
from segpipe.samples.scan import scan
from segpipe.score.summary import summarise
from tests.unit.finished import values_of
from tests.unit.model_files import write_model


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "run/models/fold1")


@pytest.fixture
def results(model, monkeypatch):
    """What a run leaves behind: nine images of three patients, those of fold 1 scored by the model."""
    folder = model.parent.parent
    rows = [
        {"image_id": f"i{n}", "patient": f"secret{n // 3}", "fold": n // 3, "status": "scored", "site": "",
         "miou": 0.5 + n / 20, "miou_foreground": 0.5, "iou_lung": 0.9, "dice_lung": 0.95, "iou_heart": 0.8,
         "dice_heart": 0.9}
        for n in range(9)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    make_phantoms(folder / "data", 6, 1, scale=0.1)
    scan(parse_config({**values_of(folder), "results": str(folder.parent), "name": folder.name}))
    monkeypatch.setattr("segpipe.interop.model_card.run_table", lambda *_, **__: table)
    return folder


def test_the_card_has_the_scores_of_the_fold_that_the_model_never_saw(model, results, tmp_path):
    export_model(model, tmp_path / "out", [], results)
    text = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "| miou | 0.700 | – | 0.650 |" in text, "one patient gives no interval"
    assert "| testing, never seen by the model | 3 | 1 |" in text
    assert weights_hash(model) in text
    assert "secret" not in text
    assert str(tmp_path) not in text
    assert "## Limits" in text


def test_the_card_names_the_training_fingerprint(tmp_path):
    export_model(write_model(tmp_path / "fold0", fingerprint="f00d"), tmp_path / "out", [])
    assert "| training fingerprint | `f00d` |" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_the_card_and_the_bundle_say_how_raster_files_are_read(tmp_path):
    folder = write_model(tmp_path / "fold0")
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**values, "raster": {"page": 2}}))
    export_model(folder, tmp_path / "out", ["bundle"])
    card = (tmp_path / "out/MODEL_CARD.md").read_text().partition("## How images are prepared\n\n```json\n")[2]
    assert json.loads(card.partition("```")[0])["raster"] == {"page": 2}
    inference = json.loads((tmp_path / "out/configs/inference.json").read_text())
    assert inference["preprocessing"]["raster"] == {"_target_": "segpipe.config.Raster", "page": 2}


def test_without_a_run_the_card_says_what_is_missing(model, tmp_path):
    export_model(model, tmp_path / "out", [])
    text = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "No test scores are at hand" in text
    assert "| training | 5 | unknown |" in text
    assert "never seen by the model" not in text


def test_scores_of_other_weights_are_refused(model, results, tmp_path):
    other = write_model(tmp_path / "fold1", seed=3)
    with pytest.raises(InputError, match="has not trained the model"):
        export_model(other, tmp_path / "out", [], results)
    assert not (tmp_path / "out").exists()
    for path in (results / "samples").glob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="holds no scan"):
        export_model(model, tmp_path / "out", [], results)


def test_the_card_s_intervals_are_those_of_the_report(config, tmp_path):
    folder = config.parent / "results/run"
    export_model(folder / "models/fold0", tmp_path, [], folder)
    report = pd.read_parquet(folder / "report.parquet")
    rows = report[(pd.to_numeric(report["fold"]) == 0) & (report["status"] == "scored")]
    assert rows["patient"].nunique() > 1
    found = summarise(rows, ["lung", "heart"], Score(calibration=False))["metrics"]
    text = (tmp_path / "MODEL_CARD.md").read_text()
    for name in ("miou", "iou_lung", "dice_heart"):
        mean, low, high = (f"{found[name][key]:.3f}" for key in ("mean", "low", "high"))
        assert f"| {name} | {mean} | {low} to {high} |" in text


def test_a_report_that_somebody_edited_changes_no_card(config, tmp_path):
    folder = shutil.copytree(config.parent / "results/run", tmp_path / "run")
    export_model(folder / "models/fold0", tmp_path / "before", [], folder)
    report = folder / "report.csv"
    report.write_text(report.read_text().replace(",scored,", ",quarantined,"))
    export_model(folder / "models/fold0", tmp_path / "after", [], folder)
    card = (tmp_path / "after/MODEL_CARD.md").read_text()
    assert "| miou |" in card
    assert card == (tmp_path / "before/MODEL_CARD.md").read_text()


def test_a_completed_card_is_not_written_over(model, tmp_path):
    export_model(model, tmp_path / "out", [])
    card = tmp_path / "out/MODEL_CARD.md"
    card.write_text(card.read_text() + "Ask the radiology of ours.\n")
    (line,) = export_model(model, tmp_path / "out", [])
    assert "was left as it is" in line
    assert "Ask the radiology" in card.read_text()


def test_each_format_has_the_contract_and_says_how_well_it_agrees(model, tmp_path):
    lines = export_model(model, tmp_path / "out", ["onnx", "torch-export"])
    assert [line.split(":")[0].rpartition("/")[2] for line in lines] == ["model.onnx", "model.pt2", "MODEL_CARD.md"]
    assert all("0 of 32768 mask pixels differ" in line for line in lines[:2])
    props = {prop.key: prop.value for prop in onnx.load(tmp_path / "out/models/model.onnx").metadata_props}
    contract = json.loads(props["segpipe.contract"])
    assert list(contract["classes"]) == ["lung", "heart"]
    assert contract["preprocess"]["size"] == 64
    assert contract["weights_sha256"] == weights_hash(model)
    assert not (tmp_path / "out/models/training.csv").exists()


def test_files_of_two_models_never_stand_together(model, tmp_path):
    export_model(model, tmp_path / "out", [])
    export_model(model, tmp_path / "out", [])
    with pytest.raises(ConfigError, match="holds another model's export"):
        export_model(write_model(tmp_path / "fold2", seed=3), tmp_path / "out", [])
    assert weights_hash(tmp_path / "out/models") == weights_hash(model)
    with pytest.raises(ConfigError, match="is the results folder of a run"):
        export_model(tmp_path / "out/models", model.parent.parent, [])


def test_what_cannot_be_exported_says_why(model, tmp_path):
    with pytest.raises(ConfigError, match=r"holds 1 models. Export one, such as .*fold1"):
        export_model(model.parent, tmp_path / "out", ["bundle"])
    with pytest.raises(ConfigError, match="is where the model is"):
        export_model(model, model, ["bundle"])
    with pytest.raises(InputError, match=r"tensorrt: there are bundle, onnx, torch-export"):
        check_formats(["bundle", "tensorrt"])
    assert check_formats(["onnx", "bundle", "onnx"]) == ["bundle", "onnx"]
    with pytest.raises(InputError, match="is not a segpipe model"):
        export_model(tmp_path / "nowhere", tmp_path / "out", ["bundle"])
