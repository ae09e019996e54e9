"""This user's jobs in SLURM, and those whose Snakemake is gone."""

import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.audit.status.snakemake import FOLDER, log_of_run, read_locks, read_marks, running_heads
from segpipe.config import Config
from segpipe.errors import ConfigError, InputError

# This user's jobs in SLURM, as squeue tells them, and their end by scancel.

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


# Jobs in SLURM whose Snakemake is gone: nobody waits for them, and a new Snakemake would send them a second time.


@dataclass(frozen=True)
class Run:
    """One call of Snakemake, by the name that all of its jobs have."""

    name: str
    folder: Path
    jobs: list[QueuedJob]
    process: int | None  # of its Snakemake, if that runs on this machine
    host: str  # where it was started, "" if its log does not say

    @property
    def may_run_elsewhere(self) -> bool:
        """Whether its Snakemake was started on another machine, or who knows where."""
        return self.process is None and self.host != socket.gethostname()

    @property
    def is_orphaned(self) -> bool:
        """Whether its Snakemake is known to be gone."""
        return self.process is None and not self.may_run_elsewhere


def find_runs(prefix: str, config: Config | None = None) -> list[Run]:
    """This user's runs in SLURM with this prefix; with a config only those of it, in the current folder.

    Raises:
        ConfigError: the prefix is none.
        InputError: see :func:`segpipe.audit.status.queue.queued_jobs`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", prefix):
        raise ConfigError(
            f"--prefix {prefix!r}: letters, digits, _ and - only, as slurm-jobname-prefix in the profile."
        )
    by_name: dict[str, list[QueuedJob]] = {}
    for job in queued_jobs(prefix):
        by_name.setdefault(job.run, []).append(job)
    runs = [_run(name, jobs) for name, jobs in by_name.items()]
    return [run for run in runs if config is None or _belongs(run, config)]


def _run(name: str, jobs: list[QueuedJob]) -> Run:
    folder = Path(jobs[0].folder)
    log = log_of_run(name, folder / FOLDER)
    ours = [head for head in running_heads(folder) if log and log.path.resolve() in head.files]
    return Run(name, folder, jobs, ours[0].process if ours else None, log.host if log else "")


def _belongs(run: Run, config: Config) -> bool:
    """Two configs may run in one folder; Snakemake's marks tell whose outputs a job writes."""
    if run.folder != Path.cwd():
        return False
    ids = {job.id for job in run.jobs}
    below = f"{config.folder.as_posix()}/"
    return any(job in ids for path, job in read_marks().items() if path.startswith(below))


def describe(run: Run) -> str:
    """A line with what runs, and one with what is known about its Snakemake."""
    states = Counter(job.state.lower() for job in run.jobs)
    rules = Counter(job.rule for job in run.jobs)
    jobs = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    of_rules = ", ".join(f"{rule} {number}" for rule, number in sorted(rules.items()))
    if run.process:
        head = f"its Snakemake runs here, process {run.process}: no orphans; Ctrl-C there cancels them"
    elif run.may_run_elsewhere:
        where = f"was started on {run.host}" if run.host else "left no log in that folder"
        head = f"its Snakemake {where}, and cannot be seen from here: look there, then add --head-is-gone"
    else:
        head = "its Snakemake is gone: orphans"
    return f"{run.name}\n  {jobs} ({of_rules}), in {run.folder}\n  {head}"


def cancel_runs(runs: Sequence[Run], head_is_gone: bool) -> tuple[int, int]:
    """Cancel the jobs of runs without a Snakemake; how many were cancelled, how many left alone."""
    chosen = [run for run in runs if run.is_orphaned or (head_is_gone and run.process is None)]
    ids = [job.id for run in chosen for job in run.jobs]
    cancel(ids)
    return len(ids), sum(len(run.jobs) for run in runs) - len(ids)


def unlock_lines(folders: Sequence[Path]) -> list[str]:
    """What to do about locks in these folders."""
    locked = [folder for folder in folders if read_locks(folder / FOLDER) and not running_heads(folder)]
    return [
        f"{folder} is locked by a Snakemake that is gone: once its jobs have ended, `snakemake --unlock` there, "
        "with the same --configfile."
        for folder in locked
    ]


def report(prefix: str, config: Config | None, with_cancel: bool, head_is_gone: bool) -> Iterator[str]:
    """Lines about all runs; with ``with_cancel`` their jobs are cancelled before the line that says so.

    Raises:
        ConfigError, InputError: see :func:`find_runs`.
    """
    runs = find_runs(prefix, config)
    yield from map(describe, runs)
    if not runs:
        yield f"No jobs of yours with the prefix {prefix}{' for this config' if config else ''} are in SLURM's queue."
    elif with_cancel:
        cancelled, left = cancel_runs(runs, head_is_gone)
        yield f"Cancelled {cancelled} jobs{f', left {left} alone' if left else ''}."
    elif any(run.is_orphaned for run in runs):
        yield "--cancel cancels the orphans; or let them end: what they write is complete and will be used."
    yield from unlock_lines(sorted({run.folder for run in runs} | {Path.cwd()}))
