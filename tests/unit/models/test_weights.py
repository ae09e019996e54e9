import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from segpipe.errors import InputError
from segpipe.models.card import pictures_wanted, read_card
from segpipe.models.weights import load_model
from tests.unit.model_files import write_model


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


def change_card(folder, **values):
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, **values}))


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_weights_of_another_architecture_are_refused_with_what_differs(model):
    change_card(model, options={"channels": [4, 16], "num_res_units": 0})
    with pytest.raises(InputError, match=r"does not fit the network 'unet'.*\n  has in another shape .*instead of"):
        load_model(model)
    change_card(model, network="fcn", options={"width": 2})
    with pytest.raises(
        InputError, match=r"lacks .* and \d+ more\n  has besides .*\nThe files of two models were mixed"
    ):
        load_model(model)


def test_another_number_of_classes_is_refused(model):
    change_card(model, classes={"lung": None})
    with pytest.raises(InputError, match="has in another shape"):
        load_model(model)


def test_damaged_weights_are_refused(model):
    change_weights(model, lambda weights: next(iter(weights.values())).fill_(float("nan")))
    with pytest.raises(InputError, match="has NaN or infinite values in"):
        load_model(model)
    (model / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(model)
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_model(model)


def test_a_model_of_another_version_is_refused_with_what_is_unknown(model):
    change_card(model, network="transformer9000")
    with pytest.raises(InputError, match=r"this version of segpipe \(.*\) does not build.*transformer9000"):
        load_model(model)
    change_card(model, network="unet", options={"attention": True})
    with pytest.raises(InputError, match=r"does not build: model\.options\.attention"):
        load_model(model)
    change_card(model, quantisation="int8")
    with pytest.raises(InputError, match="it has keys unknown here: quantisation"):
        read_card(model)
    (model / "model.json").write_text('{"network": "unet"}')
    with pytest.raises(InputError, match="it lacks options, classes"):
        read_card(model)
    (model / "model.json").write_text("PNG")
    with pytest.raises(InputError, match="no JSON"):
        read_card(model)


def test_pictures_prepared_in_an_unknown_way_are_refused(model):
    card = json.loads((model / "model.json").read_text())
    change_card(model, preprocess={**card["preprocess"], "sharpen": 3})
    with pytest.raises(InputError, match=r"does not know: sharpen"):
        pictures_wanted(read_card(model), model)


def test_a_model_loads_as_it_was_saved(model):
    saved = load_file(model / "model.safetensors")
    network = load_model(model)
    assert not network.training
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
