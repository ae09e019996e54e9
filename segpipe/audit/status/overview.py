"""Everything that is known about a run at this moment."""

import csv
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from segpipe.audit.status.queue import QueuedJob, has_slurm, queued_jobs
from segpipe.audit.status.snakemake import (
    Head,
    SnakemakeLog,
    newest_log,
    read_locks,
    read_marks,
    running_heads,
    slurm_logs,
    tail,
)
from segpipe.config import Config
from segpipe.config.variants import trials, variants
from segpipe.errors import InputError
from segpipe.samples.scan import read_scan

# The jobs of a run and their files, as the rules in ``workflow/rules`` name them (a test compares the two).

RULES = ("preprocess", "dataset", "train", "predict", "score", "report", "check", "provenance", "compare")
REPORT_FILES = ("report.csv", "report.parquet", "summary.json", "groups.csv", "overview.png", "report.html")
MODEL_FILES = ("model.safetensors", "model.json", "history.csv", "training.csv")


@dataclass(frozen=True)
class Job:
    """One job: ``name`` is what tells it from others of its rule, ``""`` where there are none."""

    rule: str
    name: str
    outputs: tuple[Path, ...]
    log: Path


def jobs_of(config: Config, shards: list[str]) -> list[Job]:
    """Every job of a run, whether it has to run or not, in the order of the rules."""
    found = [*_of_shards(config.folder, shards), *_of_trials(config, shards), *_of_the_end(config)]
    return sorted(found, key=lambda job: RULES.index(job.rule))


def _of_shards(folder: Path, shards: list[str]) -> Iterator[Job]:
    for shard in shards:
        store = folder / "shards" / shard
        outputs = (store / "images.npy", store / "masks.npy", store / "table.parquet")
        yield Job("preprocess", shard, outputs, folder / f"logs/preprocess/{shard}.log")


def _of_trials(config: Config, shards: list[str]) -> Iterator[Job]:
    """Models belong to the trial whose folder they are in; a seed alone predicts and scores with models of another."""
    folder, models = config.folder, set[str]()
    for trial, of_trial in trials(config).items():
        if _is_asked_for(config, trial):
            models.update(of_trial)
            for shard in shards:
                for rule, place in (("predict", "predictions"), ("score", "scores")):
                    output = folder / f"{trial}{place}/{shard}.parquet"
                    yield Job(rule, f"{trial}{shard}", (output,), folder / f"logs/{trial}{rule}/{shard}.log")
    for model in sorted(models):
        trial, _, name = model.rpartition("models/")
        outputs = tuple(folder / model / file for file in MODEL_FILES)
        yield Job("train", f"{trial}{name}", outputs, folder / f"logs/{trial}train/{name}.log")


def _is_asked_for(config: Config, trial: str) -> bool:
    """With a comparison its variants are what the run ends with, else the run itself and its seeds."""
    return trial.startswith("compare/") == bool(config.compare)


def _of_the_end(config: Config) -> Iterator[Job]:
    folder, logs = config.folder, config.folder / "logs"
    if not config.model.weights:
        yield Job("dataset", "", _files(folder / "dataset", "dataset.parquet", "dataset.json"), logs / "dataset.log")
    if variants(config):
        yield Job("compare", "", _files(folder, "comparison.csv", "comparison.png"), logs / "compare.log")
        return
    yield Job("report", "", _files(folder, *REPORT_FILES), logs / "report.log")
    yield Job("check", "", _files(folder, "summary.txt"), logs / "check.log")
    yield Job("provenance", "", _files(folder, "provenance.json", "ro-crate-metadata.json"), logs / "provenance.log")


def _files(folder: Path, *names: str) -> tuple[Path, ...]:
    return tuple(folder / name for name in names)


# The state of each job, from its outputs, Snakemake's marks, and SLURM's queue.

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


# How much room a run takes, and how much is left.

MOST_FILES = 20_000  # without being asked for more: on a file system of a cluster, each file costs a question


@dataclass(frozen=True)
class DiskUse:
    """Bytes of each folder of the results (``""``: the files beside them); ``whole`` unless it was cut short."""

    folders: dict[str, int]
    whole: bool
    free: int


def disk_use(results: Path, most_files: int | None = MOST_FILES) -> DiskUse:
    """Sizes of what lies below the results; after ``most_files`` it stops."""
    sizes, seen = dict[str, int](), 0
    for place, _, names in os.walk(results):
        folder = Path(place).relative_to(results).parts
        key = folder[0] if folder else ""
        for name in names:
            if most_files is not None and seen >= most_files:
                return DiskUse(sizes, False, shutil.disk_usage(results).free)
            seen += 1
            sizes[key] = sizes.get(key, 0) + _size(f"{place}/{name}")
    return DiskUse(sizes, True, shutil.disk_usage(results).free)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # a temporary file that is gone by now
        return 0


# How far a model's training is, from its log and from its history.

_EPOCH = re.compile(
    r" epoch (?P<epoch>\d+)/(?P<epochs>\d+): .*val MIoU (?P<miou>[\d.]+|nan) "
    r"\(best (?P<best>[\d.]+|nan) in epoch (?P<best_epoch>\d+)\)(?:.*about (?P<left>\d+) s left)?"
)


@dataclass(frozen=True)
class Progress:
    """Epochs done of those planned, the last validation's MIoU and the best; ``seconds_left`` while it runs."""

    epoch: int
    epochs: int
    miou: float
    best: float
    best_epoch: int
    seconds_left: int | None = None


def progress_in_log(log: Path) -> Progress | None:
    """What the last line of an epoch says; None before the first."""
    found = _EPOCH.findall(tail(log, 16_000))
    if not found:
        return None
    epoch, epochs, miou, best, best_epoch, left = found[-1]
    return Progress(int(epoch), int(epochs), float(miou), float(best), int(best_epoch), int(left) if left else None)


def progress_in_history(history: Path) -> Progress | None:
    """That of a finished training; epochs without validation have no MIoU."""
    try:
        with history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        scores = [(int(row["epoch"]), float(row["val_miou"])) for row in rows if row["val_miou"]]
    except (OSError, KeyError, ValueError):
        return None
    if not scores:
        return None
    best_epoch, best = max(scores, key=lambda score: score[1])
    last = int(rows[-1]["epoch"])
    return Progress(last, last, scores[-1][1], best, best_epoch)


# Everything that is known about a run at this moment.

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
