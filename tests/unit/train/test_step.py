import pytest
import torch
from torch import nn

from segpipe.errors import ConfigError
from segpipe.train import step as module
from segpipe.train.checkpoints import TrainState, read_state, save_state
from segpipe.train.distributed import ProcessGroup
from segpipe.train.finetune import encoder_parameters
from segpipe.train.step import TrainStep
from tests.unit.prepared import stage

CPU = ProcessGroup(torch.device("cpu"))


def batch():
    torch.manual_seed(5)
    return torch.rand(2, 1, 64, 64), (torch.rand(2, 2, 64, 64) > 0.5).float()


def learner(**changes):
    return TrainStep(stage("train", **changes), 1, CPU)


def steps(made, count, epoch=1):
    made.begin_epoch(epoch)
    return [tuple(map(float, made.run(*batch(), 0.01, number))) for number in range(count)]


class TwoResolutions(nn.Module):
    """A network with deep supervision."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1, stride=2)

    def forward(self, images):
        return [self.fine(images), self.coarse(images)] if self.training else self.fine(images)


def test_a_network_may_give_several_resolutions_while_it_trains(monkeypatch):
    monkeypatch.setattr(module, "network_of", lambda *_: TwoResolutions())
    made = learner(ema=0.9)
    found = steps(made, 5)
    assert found[-1][0] < found[0][0]
    assert made.evaluated(batch()[0]).shape == (2, 2, 64, 64)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_a_state_holds_all_that_the_next_steps_depend_on(optimizer, tmp_path):
    changes = {"optimizer": optimizer, "ema": 0.9}
    whole = learner(**changes)
    steps(whole, 3)
    state = TrainState({}, 2)
    whole.store(state)
    save_state(state, tmp_path / "state.pt")
    expected = steps(whole, 2)
    other = TrainStep(stage("train", **changes), 99, CPU, read_state(tmp_path / "state.pt"))
    assert steps(other, 2) == expected
    for one, two in zip(whole.evaluated.state_dict().values(), other.evaluated.state_dict().values(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_encoder_stays_still_in_the_first_epochs_and_moves_then(optimizer):
    wanted = stage(
        "train", optimizer=optimizer
    )  # the config wants model.init with it, whose weights do not matter here
    made = TrainStep(
        wanted.model_copy(update={"train": wanted.train.model_copy(update={"freeze_encoder_epochs": 1})}), 1, CPU
    )
    before = [tensor.clone() for tensor in encoder_parameters(made.network)]
    steps(made, 2, epoch=1)
    assert all(torch.equal(*pair) for pair in zip(before, encoder_parameters(made.network), strict=True))
    steps(made, 2, epoch=2)
    assert not any(torch.equal(*pair) for pair in zip(before, encoder_parameters(made.network), strict=True))


@pytest.mark.parametrize("change", [{"channels_last": True}, {"gradient_checkpointing": True}, {"tf32": True}])
def test_what_is_about_speed_and_memory_changes_the_losses_by_rounding_at_most(change):
    for one, other in zip(steps(learner(), 3), steps(learner(**change), 3), strict=True):
        assert other == pytest.approx(one, rel=1e-3)


def test_a_compiler_that_fails_is_an_error_that_names_the_key(monkeypatch):
    def compile(_):
        def fail(_):
            raise torch._dynamo.exc.Unsupported("no C++ compiler\nhere")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.raises(ConfigError, match=r"train.compile: torch cannot compile here \(no C\+\+ compiler here"):
        steps(learner(compile=True), 1)
