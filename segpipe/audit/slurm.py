"""This user's jobs in SLURM, and those whose Snakemake is gone.

squeue tells a job's name (the profile's ``slurm-jobname-prefix``, ``_`` and an id of the call of Snakemake), its folder
and, as comment, its rule. The log that each call writes to ``.snakemake/log`` tells the same id and the machine, and
Snakemake keeps it open while it lives. So nothing has to be remembered, and a second Snakemake in the same folder is
not taken for the first.
"""

import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from segpipe.config import Config
from segpipe.errors import ConfigError, InputError

SECONDS = 60.0  # a controller that is busy may let squeue wait
IDS_PER_CALL = 500  # a command line is not endless
FORMAT = "\t".join(("%i", "%j", "%T", "%r", "%Z", "%k"))
HEAD = 64_000  # bytes of Snakemake's log: host, id and the first jobs

_RUN_ID = r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HOST = re.compile(r"^  Host: (\S+)$", re.M)
_SENT = re.compile(r"^SLURM run ID: (\S+)$", re.M)


@dataclass(frozen=True)
class QueuedJob:
    """One job, or task of an array (``12_3``); ``run`` is the name that all jobs of a call of Snakemake have."""

    id: str
    run: str
    state: str
    reason: str
    folder: str
    comment: str

    @property
    def rule(self) -> str:
        """The rule's name; the plugin's comment is ``rule_<name>_wildcards_<values>``."""
        return self.comment.removeprefix("rule_").split("_wildcards_")[0]


def queued_jobs(prefix: str | None = None) -> list[QueuedJob]:
    """This user's jobs that are not over and were sent by Snakemake, with this prefix or with any.

    Raises:
        InputError: squeue is missing, fails or does not answer.
    """
    text = _call("squeue", "--me", "--noheader", "--array", "--format", FORMAT)
    jobs = [QueuedJob(*line.split("\t", 5)) for line in text.splitlines() if line.count("\t") >= 5]
    return [job for job in jobs if is_run_of(prefix, job.run)]


def is_run_of(prefix: str | None, name: str) -> bool:
    """Whether Snakemake's SLURM plugin gave this name to jobs with this prefix.

    >>> is_run_of("segpipe", "segpipe_3dac500b-9b65-44b0-bb59-bc53082f0301"), is_run_of("segpipe", "segpipe_mine")
    (True, False)
    """
    return re.fullmatch((".*" if prefix is None else re.escape(prefix)) + _RUN_ID, name) is not None


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
        said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), "it said nothing")
        raise InputError(f"{program} failed (exit code {done.returncode}): {said}")
    return done.stdout


@dataclass(frozen=True)
class Snakemake:
    """One call of Snakemake by its log: the beginning of it, and its process while it runs on this machine."""

    log: Path
    text: str
    process: int | None

    @property
    def host(self) -> str:
        """The machine that it was started on; "" if the log does not say."""
        found = _HOST.search(self.text)
        return found[1] if found else ""

    @property
    def run(self) -> str:
        """The name of its SLURM jobs; "" if it sends none."""
        found = _SENT.search(self.text)
        return found[1] if found else ""

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; of one on another machine nothing is known."""
        return self.process is None and self.host == socket.gethostname()

    @property
    def whereabouts(self) -> str:
        """What is known about it, to follow "Snakemake"."""
        if self.process:
            return f"runs here, process {self.process}"
        return (
            "is gone"
            if self.is_gone
            else f"was started on {self.host or 'a machine that its log does not name'}, and cannot be seen from here"
        )

    def works_on(self, results: Path) -> bool:
        """Whether its jobs have files in this results folder; several runs may share the folder of the log."""
        return f" {results.as_posix()}/" in self.text


def snakemakes(folder: Path) -> Iterator[Snakemake]:
    """The calls of Snakemake in a folder, the last one first."""
    logs = sorted((folder / ".snakemake/log").glob("*.snakemake.log"), reverse=True)  # names begin with the time
    processes = writers(folder) if logs else {}
    for log in logs:
        with log.open("rb") as file:
            text = file.read(HEAD).decode(errors="replace")
        yield Snakemake(log, text, processes.get(log.resolve()))


def writers(folder: Path) -> dict[Path, int]:
    """The files that processes working in a folder have open there, with the process."""
    found: dict[Path, int] = {}
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder.resolve()):
            try:
                found |= {Path(file.path): process.pid for file in process.open_files()}
            except psutil.Error:  # it has just ended, or is another user's
                continue
    return found


@dataclass(frozen=True)
class Run:
    """The jobs of one call of Snakemake that SLURM still has; without its log ``snakemake`` is None."""

    name: str
    folder: Path
    jobs: list[QueuedJob]
    snakemake: Snakemake | None

    @property
    def is_orphaned(self) -> bool:
        """Whether its Snakemake is known to be gone."""
        return self.snakemake is not None and self.snakemake.is_gone


def find_runs(prefix: str | None, config: Config | None = None) -> list[Run]:
    """This user's runs in SLURM with this prefix; with a config only those of it, in the current folder.

    Raises:
        ConfigError: the prefix is none.
        InputError: see :func:`queued_jobs`.
    """
    if prefix is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", prefix):
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
    return Run(name, folder, jobs, next((call for call in snakemakes(folder) if call.run == name), None))


def _belongs(run: Run, config: Config) -> bool:
    return run.folder == Path.cwd() and run.snakemake is not None and run.snakemake.works_on(config.folder)


def summary(jobs: Sequence[QueuedJob]) -> str:
    """How many jobs are in which state, and of which rules: ``1 pending, 1 running (score 1, train 1)``."""
    states, rules = (Counter(names) for names in ([job.state.lower() for job in jobs], [job.rule for job in jobs]))
    counts, of_rules = (", ".join(f"{states[name]} {name}" for name in sorted(states)), sorted(rules.items()))
    return f"{counts} ({', '.join(f'{rule} {number}' for rule, number in of_rules)})"


def report(prefix: str, config: Config | None, with_cancel: bool, head_is_gone: bool) -> Iterator[str]:
    """Lines about all runs; with ``with_cancel`` their jobs are cancelled before the line that says so.

    Raises:
        ConfigError, InputError: see :func:`find_runs`.
    """
    runs = find_runs(prefix, config)
    yield from map(_describe, runs)
    if not runs:
        yield f"No jobs of yours with the prefix {prefix}{' for this config' if config else ''} are in SLURM's queue."
    elif with_cancel:
        alive = [run for run in runs if run.snakemake and run.snakemake.process]
        chosen = [run for run in runs if run.is_orphaned or (head_is_gone and run not in alive)]
        ids = [job.id for run in chosen for job in run.jobs]
        cancel(ids)
        left = sum(len(run.jobs) for run in runs) - len(ids)
        yield f"Cancelled {len(ids)} jobs{f', left {left} alone' if left else ''}."
    elif any(run.is_orphaned for run in runs):
        yield "--cancel cancels the orphans; or let them end: what they write is complete and will be used."
    for folder in sorted({run.folder for run in runs} | {Path.cwd()}):
        if is_locked(folder) and not any(call.process for call in snakemakes(folder)):
            yield (
                f"{folder} is locked by a Snakemake that is gone: once its jobs have ended, `snakemake --unlock` "
                "there, with the same --configfile."
            )


def is_locked(folder: Path) -> bool:
    """Whether Snakemake works in this folder, or was killed there."""
    return any((folder / ".snakemake/locks").glob("*"))


def _describe(run: Run) -> str:
    """A line with what runs, and one with what is known about its Snakemake."""
    call = run.snakemake
    where = call.whereabouts if call else "left no log in that folder, and cannot be seen from here"
    if call and call.process:
        meaning = "no orphans; Ctrl-C there cancels them"
    else:
        meaning = "orphans" if run.is_orphaned else "look there, then add --head-is-gone"
    return f"{run.name}\n  {summary(run.jobs)}, in {run.folder}\n  its Snakemake {where}: {meaning}"
