"""Which models predict together, and what a comparison trains."""

import pytest

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs, stage_file, stage_text
from segpipe.config.variants import plain_name, trials, variants
from segpipe.errors import ConfigError

BASE = {"data": {"images": "i/{p}.png", "masks": {"lung": "m/{p}.png"}}, "folds": {"k": 2}}
NETWORKS = {"fcn": {"network": "fcn"}, "unet_small": {"network": "unet", "options": {"channels": [4, 8]}}}


def config(**changes):
    return parse_config({**BASE, **changes})


def test_a_run_of_one_seed_is_one_trial_of_its_folds():
    assert trials(config()) == {"": ["models/fold0", "models/fold1"]}


def test_each_seed_is_a_trial_of_its_own_and_all_of_them_are_the_run():
    found = trials(config(train={"repeats": 2}))
    assert found == {
        "": ["models/fold0", "models/fold1", "models/fold0-r2", "models/fold1-r2"],
        "repeats/1/": ["models/fold0", "models/fold1"],
        "repeats/2/": ["models/fold0-r2", "models/fold1-r2"],
    }
    assert {plain_name(folder.split("/")[-1]) for folder in found[""]} == {"fold0", "fold1"}


def test_given_models_leave_the_run_alone_whatever_the_repeats():
    given = config(model={"weights": ["a", "b"]}, train={"repeats": 3})
    assert trials(given) == {"": []}
    assert stage_configs(given, [])["report"].repeats == 1


def test_more_seeds_leave_training_and_the_other_seeds_as_they_are():
    one, three = (stage_configs(config(train={"repeats": repeats}), []) for repeats in (1, 3))
    assert one["train"] == three["train"]
    assert one["predict"] == three["predict"]
    assert not three["predict"].labelled_only
    assert three["repeats/2/predict"].labelled_only, "single seeds predict for their scores alone"
    assert set(three) - set(one) == {f"repeats/{seed}/predict" for seed in (1, 2, 3)}


def test_variants_are_the_product_of_the_axes_with_the_networks_outermost():
    compare = {"networks": NETWORKS, "losses": ["dice", "bce"], "patients": [20, 0], "repeats": 2}
    found = variants(config(compare=compare))
    assert [variant.name for variant in found[:5]] == [
        "fcn-dice-20patients", "fcn-dice-all", "fcn-bce-20patients", "fcn-bce-all", "unet_small-dice-20patients",
    ]  # fmt: skip
    assert len(found) == 8
    assert found[0].label == "fcn, dice, 20 patients"
    assert (found[4].model.network, found[4].model.options) == ("unet", {"channels": [4, 8]})
    assert (found[4].train.loss, found[4].train.patients) == ("dice", 20)
    assert len(trials(config(compare=compare))) == 1 + 8 * 3, "the run; each variant, and its two seeds"


def test_a_second_value_on_an_axis_renames_no_variant_and_changes_no_stage_of_it():
    few = config(compare={"networks": {"fcn": NETWORKS["fcn"]}})
    more = config(compare={"networks": NETWORKS, "losses": ["dice_ce", "bce"], "repeats": 2})
    (only,) = variants(few)
    assert only.label == "fcn"
    assert next(each for each in variants(more) if each.name == only.name).label == "fcn, dice_ce"
    before, after = stage_configs(few, []), stage_configs(more, [])
    for stage in ("train", "predict"):
        key = f"compare/fcn-dice_ce-all/{stage}"
        assert stage_text(before[key]) == stage_text(after[key])
    assert stage_file(key, "0f") == "compare/fcn-dice_ce-all/config/predict-0f.json"
    assert before["train"] == stage_configs(config(), [])["train"], "the run's own model is none of its business"


def test_axes_that_are_left_out_are_the_configs_own():
    own = config(model={"network": "fcn", "options": {"width": 8}}, train={"loss": "bce", "patients": 5}, compare={})
    (variant,) = variants(own)
    assert variant.name == "fcn-bce-5patients"
    assert variant.model == own.model
    assert variants(config()) == []


def test_what_cannot_be_compared_is_said():
    with pytest.raises(ConfigError, match="compare trains networks, but with"):
        config(model={"weights": "a"}, compare={"networks": NETWORKS})
    with pytest.raises(ConfigError, match="dice is listed twice"):
        config(compare={"losses": ["dice", "dice"]})
    with pytest.raises(ConfigError, match="Unet"):
        config(compare={"networks": {"Unet-small": {"network": "unet"}}})
