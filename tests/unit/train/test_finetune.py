import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

from segpipe.errors import InputError
from segpipe.models.card import ModelCard
from segpipe.models.networks.registry import NETWORKS, build_network
from segpipe.models.weights import network_of, save_model
from segpipe.train.callbacks import Trackers
from segpipe.train.finetune import encoder_parameters, init_hash, load_initial
from segpipe.train.stage import train_model
from tests.unit.models.test_networks import SMALL
from tests.unit.prepared import stage


def given(folder, network="unet2015", classes=("lung", "heart"), options=None, **preprocess):
    """A trained model on disk, and its network."""
    torch.manual_seed(1)
    options = SMALL.get(network, {}) if options is None else options
    built = build_network(network, len(classes), options).eval()
    train = stage("train")
    contract = {**train.preprocess.model_dump(mode="json"), **preprocess}
    card = ModelCard(network, options, dict.fromkeys(classes), contract, train.dicom.model_dump(mode="json"), {})
    save_model(folder, {name: tensor.clone() for name, tensor in built.state_dict().items()}, card)
    return built


def run_of(folder, classes, network="unet2015", options=None, **train):
    """A train stage that starts from a folder, and its fresh network."""
    plain = stage("train")
    options = SMALL.get(network, {}) if options is None else options
    model = plain.model.model_copy(update={"network": network, "options": options, "init": folder})
    changed = plain.train.model_copy(update=train)
    torch.manual_seed(2)
    fresh = build_network(network, len(classes), options).eval()
    named = dict.fromkeys(classes)
    return plain.model_copy(update={"model": model, "train": changed, "classes": named}), fresh


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, logger="segpipe")
    return caplog


def logits(network):
    with torch.no_grad():
        return network(torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_of_the_same_classes_is_taken_whole(tmp_path, log, name):
    old = given(tmp_path, name)
    run, fresh = run_of(tmp_path, ["lung", "heart"], name)
    load_initial(fresh, tmp_path, run)
    assert torch.equal(logits(fresh), logits(old))
    assert "100.0% of all values" in log.text
    assert "at random" not in log.text


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "unet"])
def test_shared_classes_keep_their_output_wherever_they_stand(tmp_path, log, name):
    old = given(tmp_path, name, ("lung", "heart"))
    run, fresh = run_of(tmp_path, ["clavicle", "heart", "lung"], name)
    load_initial(fresh, tmp_path, run)
    torch.testing.assert_close(logits(fresh)[:, [2, 1]], logits(old))
    assert "the output channels of heart, lung are taken over, those of clavicle start at random" in log.text


def test_output_layers_that_mix_classes_start_at_random(tmp_path, log):
    options = {"channels": [4, 8], "num_res_units": 2}
    given(tmp_path, "unet", ("lung", "heart"), options)
    run, fresh = run_of(tmp_path, ["heart", "lung"], "unet", options)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    load_initial(fresh, tmp_path, run)
    heads = ["model.2.0.conv.weight", "model.2.0.conv.bias", "model.2.1.conv.unit0.conv.weight"]
    assert all(torch.equal(fresh.state_dict()[name], before[name]) for name in heads)
    assert not torch.equal(fresh.state_dict()["model.0.residual.weight"], before["model.0.residual.weight"])
    assert "all output layers start at random: its output layers mix classes" in log.text


def test_as_many_classes_of_other_names_are_not_confused_by_their_equal_shapes(tmp_path, log):
    given(tmp_path, classes=("lung", "heart"))
    run, fresh = run_of(tmp_path, ["rib", "clavicle"])
    before = fresh.output.weight.clone()
    load_initial(fresh, tmp_path, run)
    assert torch.equal(fresh.output.weight, before)
    assert "all output layers start at random: none is among this run's" in log.text


def test_what_does_not_fit_is_listed_with_both_shapes_and_long_lists_are_cut(tmp_path, log):
    given(tmp_path, options={"width": 4, "depth": 3})
    run, fresh = run_of(tmp_path, ["lung", "heart"], options={"width": 4, "depth": 2})
    load_initial(fresh, tmp_path, run)
    assert "in another shape (24): up.0.weight (here (16, 8, 2, 2), given (32, 16" in log.text
    assert "but not used (22): decoder.2.0.weight" in log.text
    assert "more" in log.text
    assert max(map(len, log.text.splitlines())) < 700


def test_other_pictures_than_the_given_model_saw_are_a_warning_that_names_them(tmp_path, log):
    given(tmp_path, size=128)
    run, fresh = run_of(tmp_path, ["lung", "heart"])
    load_initial(fresh, tmp_path, run)
    warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "preprocess.size: 128 (the config says 64)" in warnings[0]


def test_nothing_that_fits_is_an_error_that_says_what_the_given_model_is(tmp_path):
    given(tmp_path, "fcn")
    run, fresh = run_of(tmp_path, ["lung", "heart"], "unet2015")
    with pytest.raises(InputError, match=r"nothing in .* fits .*'unet2015'.*'fcn' with the options \{'width': 4\}"):
        load_initial(fresh, tmp_path, run)


def test_a_damaged_file_and_values_that_are_no_numbers_are_refused(tmp_path):
    given(tmp_path)
    run, fresh = run_of(tmp_path, ["lung", "heart"])
    weights = load_file(tmp_path / "model.safetensors")
    weights["output.weight"][0, 0] = float("nan")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"no numbers, in output\.weight"):
        load_initial(fresh, tmp_path, run)
    (tmp_path / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_initial(fresh, tmp_path, run)
    with pytest.raises(InputError, match="is not a segpipe model"):
        load_initial(fresh, tmp_path / "nowhere", run)


def test_an_encoder_that_was_not_given_is_not_frozen_in_silence(tmp_path, log):
    given(tmp_path, options={"width": 4, "depth": 2})
    run, fresh = run_of(tmp_path, ["lung", "heart"], options={"width": 4, "depth": 3}, freeze_encoder_epochs=1)
    load_initial(fresh, tmp_path, run)
    assert "keeps what was not given of the encoder at random (6): encoder.3.0.weight" in log.text


def test_the_hash_knows_the_weights_and_the_classes_and_not_the_folder(tmp_path):
    given(tmp_path / "a"), given(tmp_path / "b"), given(tmp_path / "c", classes=("heart", "lung"))
    hashes = [init_hash(run_of(tmp_path / name, ["lung"])[0]) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
    given(tmp_path / "b", options={"width": 5, "depth": 2})
    assert init_hash(run_of(tmp_path / "b", ["lung"])[0]) != hashes[0]
    assert init_hash(stage("train")) == ""


def train(prepared, folder, stage_, model="fold0"):
    train_model(stage_, prepared / "dataset.parquet", prepared / "shards", model, folder)
    return load_file(folder / "model.safetensors")


def test_training_starts_from_the_given_weights_and_keeps_the_frozen_encoder(prepared, tmp_path, log):
    old = train(prepared, tmp_path / "old", stage("train", epochs=1), "fold1")
    plain = stage("train", epochs=2)
    model = plain.model.model_copy(update={"init": tmp_path / "old"})
    frozen = plain.train.model_copy(update={"freeze_encoder_epochs": 2})
    new = train(prepared, tmp_path / "new", plain.model_copy(update={"model": model, "train": frozen}))
    assert "100.0% of all values" in log.text
    network = network_of(plain.model, 2)
    parameters = {id(parameter) for parameter in encoder_parameters(network)}
    encoder = [name for name, parameter in network.named_parameters() if id(parameter) in parameters]
    assert encoder
    assert all(torch.equal(new[name], old[name]) for name in encoder)
    assert not all(torch.equal(new[name], old[name]) for name in new)
    free = train(prepared, tmp_path / "free", plain.model_copy(update={"model": model}))
    assert not all(torch.equal(free[name], old[name]) for name in encoder)


def test_fine_tuning_that_is_stopped_in_its_frozen_epochs_ends_with_the_same_bytes(prepared, tmp_path, monkeypatch):
    train(prepared, tmp_path / "old", stage("train", epochs=1), "fold1")
    plain = stage("train", epochs=3)
    model = plain.model.model_copy(update={"init": tmp_path / "old"})
    frozen = plain.train.model_copy(update={"freeze_encoder_epochs": 2})
    tuned = plain.model_copy(update={"model": model, "train": frozen})
    train(prepared, tmp_path / "whole", tuned)
    real = Trackers.epoch

    def die(trackers, row, preview):
        real(trackers, row, preview)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trackers, "epoch", die)
    with pytest.raises(KeyboardInterrupt):
        train(prepared, tmp_path / "parts", tuned)
    monkeypatch.setattr(Trackers, "epoch", real)
    train(prepared, tmp_path / "parts", tuned)
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_initial_weights_do_not_go_on_from_the_checkpoint(prepared, tmp_path, log):
    train(prepared, tmp_path / "old", stage("train", epochs=1), "fold1")
    plain = stage("train", epochs=1)
    tuned = plain.model_copy(update={"model": plain.model.model_copy(update={"init": tmp_path / "old"})})
    first = train(prepared, tmp_path / "new", tuned)
    train(prepared, tmp_path / "old", stage("train", epochs=1, learning_rate=0.02), "fold1")
    second = train(prepared, tmp_path / "new", tuned)
    assert not all(torch.equal(first[name], second[name]) for name in first)
    assert "weights of model.init" in log.text
