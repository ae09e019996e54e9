import pytest

from segpipe.config.load import load_config, parse_config
from segpipe.errors import ConfigError

MINIMAL = {"data": {"images": "i/{patient}.png", "masks": {"lung": "m/{patient}.png"}}}


def test_a_minimal_config_gets_defaults_and_classes_from_the_masks():
    config = parse_config(MINIMAL)
    assert config.preprocess.size == 512
    assert config.preprocess.fit == "letterbox"
    assert config.class_values == {"lung": None}
    assert config.data.images == ["i/{patient}.png"]


def test_an_unknown_key_is_named_with_the_likely_one():
    with pytest.raises(ConfigError, match=r"train\.epoch: there is no such key \(did you mean train\.epochs\?\)"):
        parse_config({**MINIMAL, "train": {"epoch": 3}})


def test_every_problem_is_listed_with_what_was_found():
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, "train": {"loss": "hinge"}, "preprocess": {"size": 500}})
    text = str(caught.value)
    assert "train.loss: found 'hinge'" in text
    assert "preprocess.size: found 500" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": {"images": []}}, "either sheet or images"),
        ({"data": {"sheet": "s.csv", "masks": "m.png"}}, "columns of the sheet"),
        ({"data": {"sheet": "s.csv"}}, "name the classes"),
        ({"data": {"images": "i/{p}.png"}}, "nothing to train on"),
        ({"data": {"images": "i/{p}.png", "masks": "m/{p}.png"}}, "one pattern"),
        ({"classes": {"heart": None}}, "name the same classes"),
        ({"data": {**MINIMAL["data"], "shards": 3}}, "power of two"),
        ({"preprocess": {"percentiles": [99, 1]}}, "rising"),
        ({"name": "../elsewhere"}, "name"),
        ({"classes": {"a": None, "b": None}, "data": {"images": "i/{p}.png", "masks": "m/{p}.png"}}, "pixel values"),
    ],
)
def test_contradictions_are_config_errors(change, says):
    with pytest.raises(ConfigError, match=says):
        parse_config({**MINIMAL, **change})


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not valid YAML"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")


@pytest.mark.parametrize("values", [[1, "a"], ["a", 2], [], "left lung", 1, [True], [1.5], [-1], [65536], [None], [""]])
def test_a_class_is_named_by_numbers_or_by_texts_and_one_message_says_so(values):
    with pytest.raises(ConfigError, match=r"classes: lung: .*(give a list of numbers|from 0 to 65535)") as caught:
        parse_config({"data": {"images": "i/{p}.png", "masks": "m/{p}.json"}, "classes": {"lung": values}})
    assert len(str(caught.value).splitlines()) == 3, "one problem, between the head and the hint"


def test_label_texts_keep_their_type_and_one_file_is_named_in_one_way():
    data = {"images": "i/{p}.png", "masks": "m/{p}.json"}
    texts = {"lung": ["left lung", "1"], "heart": ["heart"]}
    assert parse_config({"data": data, "classes": texts}).class_values == texts
    with pytest.raises(ConfigError, match="all by numbers, or all by texts"):
        parse_config({"data": data, "classes": {"lung": ["left lung"], "heart": [2]}})
    per_class = data | {"masks": {"lung": "m/{p}.json", "heart": "m/{p}.png"}}
    assert parse_config({"data": per_class, "classes": {"lung": ["left lung"], "heart": [2]}})


def test_a_frozen_encoder_needs_weights_and_a_start_needs_training():
    with pytest.raises(ConfigError, match=r"freeze_encoder_epochs .* but there is no model\.init"):
        parse_config({**MINIMAL, "train": {"freeze_encoder_epochs": 2}})
    with pytest.raises(ConfigError, match=r"model\.init is where training starts, but with model\.weights"):
        parse_config({**MINIMAL, "model": {"init": "a", "weights": "b"}})
    assert parse_config({**MINIMAL, "model": {"init": "a"}, "train": {"freeze_encoder_epochs": 2}}).model.init
