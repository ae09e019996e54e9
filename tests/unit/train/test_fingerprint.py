import pytest
import torch

from segpipe.train.checkpoints import differences, fingerprint_hash, training_fingerprint
from segpipe.train.roles import Roles, read_roles
from tests.unit.prepared import stage


@pytest.fixture
def of(prepared):
    def make(roles=None, model="fold0", precision=torch.float32, **changes):
        wanted = stage("train", **changes)
        roles = roles or read_roles(prepared / "dataset.parquet", wanted, model)
        return training_fingerprint(wanted, model, roles, torch.device("cpu"), precision)

    return make


@pytest.mark.parametrize(
    "change", [{"workers": 3}, {"preview_every": 1}, {"tensorboard": False}, {"repeats": 3}, {"device": "cpu"}]
)
def test_what_changes_no_byte_is_left_out(of, change):
    assert fingerprint_hash(of(**change)) == fingerprint_hash(of())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"learning_rate": 0.02}, "train.learning_rate: 0.02, was 0.01"),
        ({"ema": 0.9}, "train.ema: 0.9, was 0.0"),
        ({"threads": 3}, "train.threads: 3, was 1"),
        ({"precision": torch.bfloat16}, "precision: bfloat16, was float32"),
        ({"patients": 2}, "train.patients: 2, was 0; training images: 6 fewer"),
    ],
)
def test_what_decides_the_weights_is_named(of, change, text):
    assert "; ".join(differences(of(), of(**change))) == text


def test_changed_images_are_counted(of, prepared):
    roles = read_roles(prepared / "dataset.parquet", stage("train"), "fold0")
    train = roles.train.assign(content=["other", "another", *roles.train["content"][2:]])
    changed = of(Roles(train.iloc[1:], roles.val))
    assert differences(of(), changed) == ["training images: 1 fewer, 1 changed"]
    assert differences(changed, of()) == ["training images: 1 more, 1 changed"]


def test_options_that_only_one_has_are_named(of):
    one, other = of(), of()
    del other["settings"]["model.options.num_res_units"]
    assert differences(one, other) == ["model.options.num_res_units: not set, was 0"]
