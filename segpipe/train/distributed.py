"""Several processes that train one model, each with its part of every batch.

:func:`launch` starts them under torchrun, on one machine or on the nodes of a SLURM job, and :func:`join` makes a
:class:`ProcessGroup` of them. Alone, a process is a group of one, and all of this does nothing.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from segpipe.errors import ConfigError, ExitCode, InterruptedRun, SegpipeError
from segpipe.log import logger
from segpipe.models.device import choose_device

Value = TypeVar("Value")

PATIENCE = timedelta(hours=1)  # the others wait while the first validates
SECONDS_TO_SAVE = 90.0  # torchrun gives its processes 30 to end


@dataclass(frozen=True)
class ProcessGroup:
    """The processes, seen from one of them."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
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

    def with_shared_statistics(self, network: nn.Module) -> nn.Module:
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

    def with_mean_gradients(self, network: nn.Module) -> nn.Module:
        """The same network, whose gradients become the mean over all processes."""
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)


@contextmanager
def join(wanted: Literal["auto", "cpu", "cuda"]) -> Iterator[ProcessGroup]:
    """The group that torchrun's variables RANK, LOCAL_RANK and WORLD_SIZE describe, or one process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield ProcessGroup(choose_device(wanted))
        return
    device = _device_of_process(choose_device(wanted), int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield ProcessGroup(device, dist.get_rank(), size)
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


def is_launcher(gpus: int, nodes: int) -> bool:
    """Whether this process only starts those that train: torchrun gives each of them a RANK."""
    return "RANK" not in os.environ and (gpus > 1 or nodes > 1)


def launch(gpus: int, nodes: int, arguments: Sequence[str]) -> None:
    """Run ``segpipe`` with these arguments under torchrun, a process for each GPU, and wait for its end.

    Raises:
        ConfigError: the GPUs cannot be shared out among the nodes.
        InterruptedRun: SIGTERM or Ctrl-C reached this process; the others were told, and saved.
        SegpipeError: one of the processes failed; they have said why.
    """
    words = command(gpus, nodes, arguments)
    logger.info("starting %s", " ".join(words[: words.index("segpipe") + 2]))
    process = subprocess.Popen(words)
    try:
        code = process.wait()
    except InterruptedRun:
        _ask_to_stop(process, nodes)
        try:
            process.wait(SECONDS_TO_SAVE)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    if code:
        raise SegpipeError(
            f"training in {max(gpus, nodes)} processes failed (exit code {code}); the lines above say why."
        )


def command(gpus: int, nodes: int, arguments: Sequence[str]) -> list[str]:
    """The command line that starts all processes."""
    if gpus % nodes:
        raise ConfigError(
            f"{gpus} GPUs on {nodes} nodes: each node gets the same number. Set gpu to a multiple of nodes."
        )
    per_node = max(1, gpus // nodes)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(per_node)]
    program = ["-m", "--", "segpipe", *arguments]  # or torchrun would read --log as an option of its own
    if nodes == 1:
        return [*torchrun, "--standalone", *program]
    srun = ["srun", "--nodes", str(nodes), "--ntasks", str(nodes), "--ntasks-per-node", "1", "--kill-on-bad-exit"]
    devices = ["--gpus-per-node", str(per_node)] if gpus else []
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", _endpoint(), "--rdzv-id", _job() or "segpipe"]
    return [*srun, *devices, *torchrun, "--nnodes", str(nodes), *meeting, *program]


def go_on_later(stop: InterruptedRun) -> None:
    """After a warning that time is up, put this SLURM job into the queue again; the checkpoint is on disk.

    Only while the job counts as running. SLURM would also take back one that is being cancelled, which its owner does
    not want, and one that it requeues itself needs no second word. Where SLURM cannot be asked or refuses, the exit
    code tells Snakemake, whose next attempt goes on.
    """
    if stop.exit_code != ExitCode.SAVED or not _job():
        return
    state = _ask("squeue", "--noheader", "--jobs", _job(), "--format", "%T")
    if state != "RUNNING":
        logger.info("SLURM job %s is not put into the queue again: it is %s", _job(), state or "unknown to squeue")
    elif _ask("scontrol", "requeue", _job()) is not None:
        logger.info("the time of SLURM job %s is up: saved, and in the queue again", _job())


def _ask_to_stop(process: subprocess.Popen[bytes], nodes: int) -> None:
    """SIGTERM for all processes. srun answers it by killing them, so on several nodes SLURM hands it out."""
    if nodes > 1 and _job():
        _ask("scancel", "--signal=TERM", _job())
    else:
        process.terminate()


def _ask(*words: str) -> str | None:
    """Run a command of SLURM; what it prints, or None where it is missing or fails, which the log tells."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except subprocess.CalledProcessError as error:
        logger.info("%s of SLURM job %s failed: %s", words[0], _job(), error.stderr.strip())
    except OSError as error:  # in a container without SLURM's commands
        logger.info("%s of SLURM job %s failed: %s", words[0], _job(), error)
    return None


def _job() -> str:
    return os.environ.get("SLURM_JOB_ID", "")


def _endpoint() -> str:
    """This machine, which is the first node of the job, and a port that is free there."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return f"{socket.gethostname()}:{listener.getsockname()[1]}"
