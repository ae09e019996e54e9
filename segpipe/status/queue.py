"""This user's jobs in SLURM, as squeue tells them, and their end by scancel."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from segpipe.errors import InputError

SECONDS = 60.0  # a controller that is busy may let squeue wait
IDS_PER_CALL = 500  # a command line is not endless

# The name is the profile's prefix and an id of the run; -D gives the folder, --comment rule and wildcards.
FORMAT = "\t".join(("%i", "%j", "%T", "%M", "%r", "%Z", "%k"))

_RUN_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class QueuedJob:
    """One job, or task of an array (``12_3``); ``time`` is how long it has run, ``reason`` why it does not."""

    id: str
    run: str
    state: str
    time: str
    reason: str
    folder: str
    comment: str

    @property
    def is_pending(self) -> bool:
        """Whether it waits for its start."""
        return self.state == "PENDING"

    @property
    def rule(self) -> str:
        """The rule's name; the plugin's comment is ``rule_<name>_wildcards_<values>``."""
        return self.comment.removeprefix("rule_").split("_wildcards_")[0]


def has_slurm() -> bool:
    """Whether SLURM's commands are here."""
    return shutil.which("squeue") is not None


def queued_jobs(prefix: str | None = None) -> list[QueuedJob]:
    """This user's jobs that are not over, those of Snakemake runs with this prefix only if one is given.

    Raises:
        InputError: squeue is missing, fails or does not answer.
    """
    text = _call("squeue", "--me", "--noheader", "--array", "--format", FORMAT)
    jobs = [QueuedJob(*line.split("\t", 6)) for line in text.splitlines() if line.count("\t") >= 6]
    return [job for job in jobs if prefix is None or is_run_of(prefix, job.run)]


def is_run_of(prefix: str, name: str) -> bool:
    """Whether Snakemake's SLURM plugin gave this name to jobs with this prefix.

    >>> is_run_of("segpipe", "segpipe_3dac500b-9b65-44b0-bb59-bc53082f0301"), is_run_of("segpipe", "segpipe_mine")
    (True, False)
    """
    return re.fullmatch(f"{re.escape(prefix)}_{_RUN_ID}", name) is not None


def cancel(ids: Sequence[str]) -> None:
    """End these jobs; SLURM refuses those of other users.

    Raises:
        InputError: scancel is missing, fails or does not answer.
    """
    for start in range(0, len(ids), IDS_PER_CALL):
        _call("scancel", "--me", *ids[start : start + IDS_PER_CALL])


def _call(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise InputError(f"{program} is not on the PATH: this machine belongs to no SLURM cluster.") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{program} did not answer within {SECONDS:.0f} s; SLURM may be down.") from None
    if done.returncode:
        raise InputError(f"{program} failed (exit code {done.returncode}): {_first_line(done.stderr)}")
    return done.stdout


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "it said nothing")
