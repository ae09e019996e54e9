"""Everything that is known about a run at this moment."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segpipe.config import Config
from segpipe.errors import InputError
from segpipe.samples.scan import read_scan
from segpipe.status.disk import DiskUse, disk_use
from segpipe.status.heads import Head, running_heads
from segpipe.status.plan import jobs_of
from segpipe.status.queue import QueuedJob, has_slurm, queued_jobs
from segpipe.status.snakemake import SnakemakeLog, newest_log, read_locks, read_marks, slurm_logs
from segpipe.status.state import JobState, Seen, State, state_of
from segpipe.status.training import Progress, progress_in_history, progress_in_log

UNDONE = (State.FAILED, State.INTERRUPTED)


@dataclass(frozen=True)
class Overview:
    """A run: its jobs and models, who works on it, what it takes; ``note`` says why SLURM's answer is missing."""

    config: Config
    images: int
    shards: int
    jobs: list[JobState]
    models: list[tuple[JobState, Progress | None]]
    queue: list[QueuedJob]
    heads: list[Head]
    log: SnakemakeLog | None
    locked: bool
    disk: DiskUse
    note: str

    @property
    def undone(self) -> list[JobState]:
        """Jobs that failed or were interrupted."""
        return [job for job in self.jobs if job.state in UNDONE]

    @property
    def head_elsewhere(self) -> str:
        """The machine on which Snakemake was started, if it may still run there."""
        host = self.log.host if self.log and self.locked and not self.heads else ""
        return "" if host == socket.gethostname() else host


def look(config: Config, most_files: int | None) -> Overview:
    """Look at the run of this config in the current folder, as Snakemake would be started in it.

    Raises:
        InputError: no Snakemake was started here with this config.
    """
    scanned, folder = read_scan(config), config.folder
    marks, locked = read_marks(), any(_is_below(path, folder) for path in read_locks())
    heads, log = running_heads(Path.cwd()) if locked else [], newest_log()
    queue, note = _queue(marks, folder, log)
    seen = Seen(
        marks,
        {job.id: job for job in queue},
        slurm_logs(),
        head_here=bool(heads),
        head_elsewhere=bool(locked and not heads and log and log.host != socket.gethostname()),
        queue_known=not note,
    )
    jobs = [state_of(job, seen) for job in jobs_of(config, sorted(scanned.shards))]
    models = [(job, _progress(job)) for job in jobs if job.job.rule == "train"]
    size = disk_use(folder, most_files)
    return Overview(
        config, scanned.images, len(scanned.shards), jobs, models, queue, heads, log, locked, size, note
    )  # fmt: skip


def _is_below(path: str, folder: Path) -> bool:
    return path.startswith(f"{folder.as_posix()}/")


def _queue(marks: Mapping[str, str | None], folder: Path, log: SnakemakeLog | None) -> tuple[list[QueuedJob], str]:
    """Jobs of this run in SLURM; squeue is asked only if some were sent there."""
    ids = {job for path, job in marks.items() if job and _is_below(path, folder)}
    if not ids and not (log and log.run):
        return [], ""
    if not has_slurm():
        return [], "squeue is not on the PATH: what an executor has, cannot be seen from here"
    try:
        queue = queued_jobs()
    except InputError as error:
        return [], str(error)
    runs = {job.run for job in queue if job.id in ids}
    return [job for job in queue if job.run in runs and Path(job.folder) == Path.cwd()], ""


def _progress(state: JobState) -> Progress | None:
    """A waiting model has none; its log may be that of an earlier run."""
    if state.state == State.DONE:
        history = next(path for path in state.job.outputs if path.name == "history.csv")
        return progress_in_history(history)
    return None if state.state in (State.WAITING, State.QUEUED) else progress_in_log(state.job.log)
