import pytest
import torch

from segpipe.errors import ConfigError
from segpipe.models.networks.registry import build_network
from segpipe.train.distributed import ProcessGroup, join

CPU = torch.device("cpu")


def test_one_process_is_a_team_without_any_setting_up(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with join("cpu") as team:
        assert (team.is_first, team.size, team.device) == (True, 1, CPU)
        assert team.any(True)
        assert not team.any(False)
        assert team.share({"a": 1}) == {"a": 1}
        assert team.mean(torch.tensor([1.0, float("nan")]))[0] == 1
        assert not torch.distributed.is_initialized()


def test_batch_statistics_cannot_be_shared_on_a_cpu_and_others_need_not():
    two = ProcessGroup(CPU, 0, 2)
    with pytest.raises(ConfigError, match="batch normalisation, whose statistics torch cannot share"):
        two.with_shared_statistics(build_network("fcn", 1, {"width": 4}))
    network = build_network("unet", 1, {"channels": [4, 8]})
    assert two.with_shared_statistics(network) is network
    assert ProcessGroup(CPU).with_shared_statistics(build_network("fcn", 1, {"width": 4}))


def test_batch_statistics_on_gpus_are_shared_under_the_same_names():
    plain = build_network("unet", 1, {"channels": [4, 8], "norm": "batch"})
    names = list(plain.state_dict())
    shared = ProcessGroup(torch.device("cuda", 0), 0, 2).with_shared_statistics(plain)
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in shared.modules())
    assert list(shared.state_dict()) == names
