"""One training as several processes, on one machine or on several nodes of a SLURM job, and its next piece."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from segpipe.errors import ConfigError, ExitCode, InterruptedRun, SegpipeError
from segpipe.log import logger

SECONDS_TO_SAVE = 90.0  # torchrun gives its processes 30 to end


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
