import pytest

from segpipe.config import stages as installed
from segpipe.config.load import parse_config
from segpipe.config.stages import (
    PredictStage,
    ReportStage,
    ScoreStage,
    TrainStage,
    load_stage,
    stage_configs,
    stage_text,
)
from segpipe.errors import ConfigError

CONFIG = parse_config(
    {
        "classes": {"lung": None, "heart": None, "aorta": None},
        "data": {"images": "i/{p}.png", "masks": {name: f"{name}/{{p}}.png" for name in ("lung", "heart", "aorta")}},
    }
)


def test_every_stage_reads_back_what_was_written_with_the_classes_in_order(tmp_path):
    for name, stage in stage_configs(CONFIG, ["view"]).items():
        path = tmp_path / f"{name}.json"
        path.write_text(stage_text(stage))
        back = load_stage(path, type(stage))
        assert back == stage
        assert stage_text(back) == stage_text(stage)
        classes = back.config["classes"] if name == "provenance" else back.classes
        assert list(classes) == ["lung", "heart", "aorta"], "channels follow this order in every stage"


def test_label_masks_are_told_from_a_file_per_class():
    labels = CONFIG.model_copy(update={"classes": {"lung": [1], "heart": [2]}})
    assert stage_configs(labels, [])["predict"].label_masks
    assert not stage_configs(CONFIG, [])["predict"].label_masks
    texts = CONFIG.model_copy(update={"classes": {"lung": ["left lung", "1"], "heart": ["heart"]}})
    assert not stage_configs(texts, [])["predict"].label_masks


def test_texts_of_labels_stay_texts_on_their_way_through_a_file(tmp_path):
    texts = CONFIG.model_copy(update={"classes": {"lung": ["left lung", "1"], "heart": [2]}})
    path = tmp_path / "score.json"
    path.write_text(stage_text(stage_configs(texts, [])["score"]))
    assert load_stage(path, ScoreStage).classes == {"lung": ["left lung", "1"], "heart": [2]}


def test_a_file_of_another_stage_or_version_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(stage_text(stage_configs(CONFIG, [])["report"]))
    assert isinstance(load_stage(path, ReportStage), ReportStage)
    with pytest.raises(ConfigError, match="does not fit"):
        load_stage(path, TrainStage)
    with pytest.raises(ConfigError, match="segpipe scan"):
        load_stage(tmp_path / "missing.json", PredictStage)


def test_thresholds_of_flags_reach_the_report_and_what_it_was_made_from_alone():
    first, second = (
        stage_configs(parse_config({"data": {"images": "{p}.png", "masks": {"a": "m.png"}}, "checks": checks}), [])
        for checks in ({}, {"polarity": 0.4, "mask_area": 3})
    )
    assert [name for name in first if first[name] != second[name]] == ["report", "provenance"]


@pytest.mark.parametrize("found", [True, None])
def test_the_scan_decides_what_engine_auto_means_for_all_shards(found, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda package: found)
    assert stage_configs(CONFIG, [])["predict"].engine_on_cpu == ("openvino" if found else "torch")
    predict = CONFIG.predict.model_copy(update={"engine": "torch"})
    own = stage_configs(CONFIG.model_copy(update={"predict": predict}), [])["predict"]
    assert own.engine_on_cpu == "", "what is installed changes nothing where the config names the engine"
