import json

import pytest

from segpipe.config import Dicom, Preprocess
from segpipe.config.load import parse_config
from segpipe.errors import ConfigError, InputError
from segpipe.models.card import check_models

DATA = {"data": {"images": "{p}.png", "masks": {"lung": "m/{p}.png"}}}


def test_a_network_of_a_comparison_is_named_by_its_key():
    compare = {"networks": {"good": {"network": "fcn"}, "odd": {"network": "fcnn"}}}
    with pytest.raises(ConfigError, match=r"compare\.networks\.odd\.network: there is no network 'fcnn'"):
        check_models(parse_config({**DATA, "compare": compare}))
    compare = {"networks": {"odd": {"network": "fcn", "options": {"widht": 3}}}}
    with pytest.raises(ConfigError, match=r"compare\.networks\.odd\..*widht"):
        check_models(parse_config({**DATA, "compare": compare}))


def test_the_configs_own_network_need_not_fit_pictures_that_it_never_sees():
    small = {**DATA, "preprocess": {"size": 64}}
    with pytest.raises(ConfigError, match=r"preprocess\.size"):
        check_models(parse_config(small))
    check_models(parse_config({**small, "compare": {"networks": {"fcn": {"network": "fcn"}}}}))


def test_folders_that_hold_no_model_are_named(tmp_path):
    for key in ("weights", "init"):
        with pytest.raises(InputError, match=str(tmp_path)):
            check_models(parse_config({**DATA, "model": {key: str(tmp_path)}}))


def test_a_model_given_twice_is_refused(tmp_path):
    card = {"network": "fcn", "options": {}, "classes": {"lung": None}, "provenance": {}}
    card |= {key: section().model_dump(mode="json") for key, section in (("preprocess", Preprocess), ("dicom", Dicom))}
    (tmp_path / "model.json").write_text(json.dumps(card))
    given = {"classes": {"lung": None}, "data": {"images": "{p}.png"}}
    check_models(parse_config({**given, "model": {"weights": str(tmp_path)}}))
    with pytest.raises(ConfigError, match="is listed twice"):
        check_models(parse_config({**given, "model": {"weights": [str(tmp_path), f"{tmp_path}/"]}}))
