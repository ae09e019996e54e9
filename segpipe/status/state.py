"""The state of each job, from its outputs, Snakemake's marks, and SLURM's queue."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from segpipe.status.plan import Job
from segpipe.status.queue import QueuedJob
from segpipe.status.snakemake import tail

LINES, ERROR = 6, " ERROR "


class State(StrEnum):
    """In the order in which a job goes through them."""

    WAITING = "waiting"  # for other jobs, or for Snakemake to start
    QUEUED = "queued"  # SLURM has it
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # it left a log and no outputs
    INTERRUPTED = "interrupted"  # Snakemake did not see its end
    UNSEEN = "started"  # elsewhere: on another machine, or by an executor that cannot be asked


@dataclass(frozen=True)
class Seen:
    """What is known besides the outputs."""

    marks: Mapping[str, str | None]
    queue: Mapping[str, QueuedJob]  # by id
    slurm_logs: Mapping[str, Path] = field(default_factory=dict)
    head_here: bool = False
    head_elsewhere: bool = False  # a lock is held, and Snakemake was started on another machine
    queue_known: bool = True


@dataclass(frozen=True)
class JobState:
    """A job and its state; ``slurm_job`` is its id in SLURM, where it has one."""

    job: Job
    state: State
    slurm_job: str | None = None
    slurm_log: Path | None = None

    @property
    def label(self) -> str:
        """Rule and name."""
        return f"{self.job.rule} {self.job.name}".strip()


def state_of(job: Job, seen: Seen) -> JobState:
    """The state of one job."""
    mark = next((str(output) for output in job.outputs if str(output) in seen.marks), None)
    slurm_log = seen.slurm_logs.get(str(job.log))
    if mark is not None:
        slurm_job = seen.marks[mark]
        return JobState(job, _of_marked(slurm_job, seen), slurm_job, slurm_log)
    if all(output.exists() for output in job.outputs):
        return JobState(job, State.DONE)
    failed = slurm_log is not None or job.log.exists()
    return JobState(job, State.FAILED if failed else State.WAITING, None, slurm_log)


def _of_marked(slurm_job: str | None, seen: Seen) -> State:
    """A mark without an id is that of a job beside Snakemake itself."""
    queued = seen.queue.get(slurm_job or "")
    if queued:
        return State.QUEUED if queued.is_pending else State.RUNNING
    if seen.head_here:  # also where SLURM has just ended the job and Snakemake has not looked yet
        return State.RUNNING
    if seen.head_elsewhere or (slurm_job and not seen.queue_known):
        return State.UNSEEN
    return State.INTERRUPTED


def count(states: Iterable[JobState]) -> dict[str, dict[State, int]]:
    """Jobs by rule and state."""
    counts: dict[str, dict[State, int]] = {}
    for each in states:
        of_rule = counts.setdefault(each.job.rule, dict.fromkeys(State, 0))
        of_rule[each.state] += 1
    return counts


def last_lines(path: Path) -> list[str]:
    """The end of a log: from its last error on, or what it said last."""
    lines = [line for line in tail(path).splitlines() if line.strip()][-40:]
    errors = [number for number, line in enumerate(lines) if ERROR in line]
    return lines[errors[-1] :][:LINES] if errors else lines[-LINES:]
