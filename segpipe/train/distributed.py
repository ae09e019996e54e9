"""Several processes that train one model, as torchrun starts them: each takes its part of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from segpipe.errors import ConfigError
from segpipe.model.device import choose_device

Value = TypeVar("Value")

PATIENCE = timedelta(hours=1)  # the others wait while the first validates


@dataclass(frozen=True)
class Team:
    """The processes, seen from one of them; alone, all of this does nothing."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that validates, saves and logs."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the processes, on the CPU."""
        values = values.cpu().double()
        if self.size > 1:
            dist.all_reduce(values)
        return values / self.size

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of them."""
        return bool(self.mean(torch.tensor([float(flag)])) > 0)

    def least(self, value: int) -> int:
        """The smallest of the processes' values."""
        values = torch.tensor(value)
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MIN)
        return int(values)

    def share(self, value: Value) -> Value:
        """The first one's value, for all."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def wait(self) -> None:
        """Until all are here."""
        self.mean(torch.zeros(1))

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network, with batch statistics over all processes.

        Raises:
            ConfigError: torch cannot do that on a CPU.
        """
        if self.size == 1 or not any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()
        ):
            return network
        if self.device.type == "cpu":
            raise ConfigError(
                "This network has batch normalisation, whose statistics torch cannot share between processes on a CPU. "
                "Train it in one process, or use norm: instance in model.options, where the network has it."
            )
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted

    def parallel(self, network: nn.Module) -> nn.Module:
        """The same network, whose gradients become the mean over all processes."""
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)


@contextmanager
def join(wanted: Literal["auto", "cpu", "cuda"]) -> Iterator[Team]:
    """The team that torchrun's variables RANK, LOCAL_RANK and WORLD_SIZE describe, or one process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Team(choose_device(wanted))
        return
    device = _device_of_process(choose_device(wanted), int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(device, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def _device_of_process(device: torch.device, local_rank: int) -> torch.device:
    if device.type == "cpu":
        return device
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"Process {local_rank} of this machine finds {torch.cuda.device_count()} GPUs; start one process for each: "
            f"torchrun --nproc-per-node {torch.cuda.device_count()}."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
