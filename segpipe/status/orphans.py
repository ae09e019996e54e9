"""Jobs in SLURM whose Snakemake is gone: nobody waits for them, and a new Snakemake would send them a second time."""

import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.config import Config
from segpipe.errors import ConfigError
from segpipe.status.heads import running_heads
from segpipe.status.queue import QueuedJob, cancel, queued_jobs
from segpipe.status.snakemake import FOLDER, log_of_run, read_locks, read_marks


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
        InputError: see :func:`segpipe.status.queue.queued_jobs`.
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
