"""`segpipe status`: a summary of results and logs at any time, and of SLURM's queue where jobs were sent there.

Nothing is asked of Snakemake itself: a stage is done where its outputs are, and failed where its log says so. What is
out of date, `snakemake -n` tells; live jobs are shown by Snakemake's own lines, or by its logger plugin snkmt.
"""

import csv
import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from segpipe.audit.slurm import QueuedJob, Snakemake, find_runs, snakemakes, summary
from segpipe.config import Config
from segpipe.config.variants import trials
from segpipe.errors import InputError
from segpipe.files.space import in_words
from segpipe.samples.scan import read_scan

LINES, ERROR, TAIL = 6, " ERROR ", 16_000  # of a log: lines that are shown, the mark of an error, bytes that are read

_STEPS = re.compile(r"^(\d+ of \d+) steps", re.M)
_EPOCH = re.compile(
    r" epoch (?P<epoch>\d+)/(?P<epochs>\d+): .*val MIoU (?P<miou>[\d.]+|nan) "
    r"\(best (?P<best>[\d.]+|nan) in epoch (?P<best_epoch>\d+)\)(?:.*about (?P<left>\d+) s left)?"
)


class State(StrEnum):
    """In the order in which a job goes through them."""

    WAITING = "waiting"
    STARTED = "started"  # it has a log, and no output yet
    FAILED = "failed"  # its log ends with an error, or nobody works on it any more
    DONE = "done"


@dataclass(frozen=True)
class Job:
    """A job of the workflow: the file below the results that it writes last, and its log.

    ``name`` tells it from others of its rule, and is "" where there are none.
    """

    rule: str
    name: str
    output: str

    @property
    def log(self) -> str:
        """Where its rule writes the log, below the results."""
        folder, slash, name = self.name.rpartition("/")
        return f"logs/{folder}{slash}{self.rule}/{name}.log" if name else f"logs/{self.rule}.log"


def jobs_of(config: Config, shards: Sequence[str]) -> list[Job]:
    """Every job of a run, whether it has to run or not, in the order of the rules.

    With a comparison its variants are what the run ends with, else the run itself and its seeds.
    """
    compares = config.compare is not None
    asked = {name: models for name, models in trials(config).items() if name.startswith("compare/") == compares}
    models = sorted({model for own in asked.values() for model in own})
    last = {"report": "report.html", "check": "summary.txt", "provenance": "provenance.json"}
    ends = {"compare": "comparison.csv"} if compares else last
    return [
        *(Job("preprocess", shard, f"shards/{shard}/table.parquet") for shard in shards),
        *([] if config.model.weights else [Job("dataset", "", "dataset/dataset.json")]),
        *(Job("train", model.replace("models/", ""), f"{model}/model.json") for model in models),
        *(Job("predict", f"{name}{shard}", f"{name}predictions/{shard}.parquet") for name in asked for shard in shards),
        *(Job("score", f"{name}{shard}", f"{name}scores/{shard}.parquet") for name in asked for shard in shards),
        *(Job(rule, "", name) for rule, name in ends.items()),
    ]


@dataclass(frozen=True)
class Progress:
    """Epochs done of those planned, the last validation's MIoU and the best; ``seconds_left`` while it runs."""

    epoch: int
    epochs: int
    miou: float
    best: float
    best_epoch: int
    seconds_left: int | None = None

    def __str__(self) -> str:
        best = f"best val MIoU {self.best:.4f} in epoch {self.best_epoch}"
        left = f", about {self.seconds_left} s left" if self.seconds_left else ""
        return f"epoch {self.epoch}/{self.epochs}, val MIoU {self.miou:.4f}, {best}{left}"


def progress_in_log(log: Path) -> Progress | None:
    """What the last line of an epoch says; None before the first."""
    found = _EPOCH.findall(tail(log))
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


@dataclass(frozen=True)
class Model:
    """A model that is or was trained."""

    name: str
    state: State
    progress: Progress | None


@dataclass(frozen=True)
class Failure:
    """A job that failed, with the ends of its log and of SLURM's, by their paths."""

    rule: str
    name: str
    logs: dict[str, list[str]]


@dataclass(frozen=True)
class Status:
    """What is known about a run; ``note`` says why SLURM's answer is missing, ``failed`` are the first failures."""

    name: str
    results: str
    images: int
    shards: int
    snakemake: str  # what is known about the last call of it
    process: int | None  # of that, if it runs here
    log: str
    steps: str  # as "3 of 14"
    jobs: dict[str, dict[State, int]]
    models: list[Model]
    slurm: list[QueuedJob]
    note: str
    failed: list[Failure]
    advice: list[str]
    free: int  # bytes on the disk
    disk: dict[str, int]  # bytes of each folder of the results ("": the files beside them), if they were measured


def look(config: Config, most_failed: int = 5, measure: bool = False) -> Status:
    """Look at the run of this config in the current folder, as Snakemake would be started in it.

    Raises:
        InputError: no Snakemake was started here with this config.
    """
    scanned, folder = read_scan(config), config.folder
    calls = [each for each in snakemakes(Path.cwd()) if each.works_on(folder)]
    # The last one may have ended at once, as where another Snakemake holds the lock.
    call = next((each for each in calls if each.process), calls[0] if calls else None)
    queue, note = _queue(config, call)
    gone = (call is None or call.is_gone) and not queue and not note
    slurm_logs = _slurm_logs()
    states = {job: _state(job, folder, slurm_logs, gone) for job in jobs_of(config, sorted(scanned.shards))}
    counts: dict[str, dict[State, int]] = {}
    for job, state in states.items():
        counts.setdefault(job.rule, dict.fromkeys(State, 0))[state] += 1
    failed = [job for job, state in states.items() if state == State.FAILED]
    return Status(
        name=config.name,
        results=folder.as_posix(),
        images=scanned.images,
        shards=len(scanned.shards),
        snakemake=call.whereabouts if call else "never worked on it here",
        process=call.process if call else None,
        log=str(call.log.relative_to(Path.cwd())) if call else "",
        steps=(_STEPS.findall(tail(call.log)) or [""])[-1] if call else "",
        jobs=counts,
        models=[_model(job, state, folder) for job, state in states.items() if job.rule == "train"],
        slurm=queue,
        note=note,
        failed=[_failure(job, folder, slurm_logs) for job in failed[:most_failed]],
        advice=_advice(set(states.values()), call, queue),
        free=shutil.disk_usage(folder).free,
        disk=disk_use(folder) if measure else {},
    )


def _queue(config: Config, call: Snakemake | None) -> tuple[list[QueuedJob], str]:
    """Jobs of this run in SLURM; squeue is asked only if the last call of Snakemake sent some there."""
    if call is None or not call.run:
        return [], ""
    try:
        return [job for run in find_runs(None, config) for job in run.jobs], ""
    except InputError as error:
        return [], str(error)


def _state(job: Job, folder: Path, slurm_logs: dict[Path, str], gone: bool) -> State:
    """``gone``: nobody works on this run, so that what has no output will get none."""
    if (folder / job.output).exists():
        return State.DONE
    if ERROR in tail(folder / job.log):
        return State.FAILED
    if (folder / job.log).exists() or _log_in_slurm(job, folder, slurm_logs):
        return State.FAILED if gone else State.STARTED
    return State.WAITING


def _slurm_logs() -> dict[Path, str]:
    """SLURM's logs in the current folder, the newest first; the plugin removes those of jobs that succeeded.

    Where they lie differs between single jobs, arrays and groups, but all of them name the log of their rule.
    """
    paths = [(path.stat().st_mtime, path) for path in Path(".snakemake/slurm_logs").rglob("*.log")]
    return {path: path.read_text(encoding="utf-8", errors="replace")[:TAIL] for _, path in sorted(paths, reverse=True)}


def _log_in_slurm(job: Job, folder: Path, slurm_logs: dict[Path, str]) -> Path | None:
    return next((path for path, text in slurm_logs.items() if (folder / job.log).as_posix() in text), None)


def _model(job: Job, state: State, folder: Path) -> Model:
    if state == State.DONE:
        return Model(job.name, state, progress_in_history((folder / job.output).with_name("history.csv")))
    return Model(job.name, state, progress_in_log(folder / job.log))


def _failure(job: Job, folder: Path, slurm_logs: dict[Path, str]) -> Failure:
    paths = [folder / job.log, _log_in_slurm(job, folder, slurm_logs)]
    return Failure(job.rule, job.name, {str(path): last_lines(path) for path in paths if path and path.exists()})


def last_lines(path: Path) -> list[str]:
    """The end of a log: from its last error on, or what it said last."""
    lines = [line for line in tail(path).splitlines() if line.strip()][-40:]
    errors = [number for number, line in enumerate(lines) if ERROR in line]
    return lines[errors[-1] :][:LINES] if errors else lines[-LINES:]


def tail(path: Path, size: int = TAIL) -> str:
    """The end of a text file, from the beginning of a line; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.split("\n", 1)[-1] if length > size else text


def disk_use(results: Path) -> dict[str, int]:
    """Bytes of each folder of the results; each file costs a question to the file system."""
    sizes: dict[str, int] = {}
    for place, _, names in os.walk(results):
        key = "".join(Path(place).relative_to(results).parts[:1])
        for name in names:
            with suppress(FileNotFoundError):  # a temporary file that is gone by now
                sizes[key] = sizes.get(key, 0) + os.lstat(f"{place}/{name}").st_size
    return sizes


def _advice(states: set[State], call: Snakemake | None, queue: Sequence[QueuedJob]) -> list[str]:
    """What to do next; nothing while Snakemake works, or may work on another machine."""
    if states <= {State.DONE}:
        return ["All outputs are there; `snakemake -n` tells whether something changed since."]
    if call and not call.is_gone:
        return []
    if queue:
        return [
            f"Its {len(queue)} SLURM jobs go on without it, and a new Snakemake would send them a second time: wait "
            "for their end, or `segpipe orphans CONFIG --cancel`."
        ]
    return ["Fix what the logs say, then start Snakemake again: finished jobs stay."] if State.FAILED in states else []


def as_json(found: Status) -> str:
    """For programs; the keys are described in docs/cli.md."""
    return json.dumps(asdict(found), indent=1)


def as_text(found: Status) -> str:
    """For a terminal; sections that have nothing to say are left out."""
    parts = [_title(found), _table(found), _models(found), _slurm(found), _failed(found)]
    parts += ["\n".join(found.advice), _disk(found)]
    return "\n\n".join(part for part in parts if part)


def _title(found: Status) -> str:
    lines = [f"{found.name}: {found.images} images in {found.shards} shards, {found.results}"]
    lines.append(f"Snakemake {found.snakemake}{f': {found.log}' if found.log else ''}")
    if found.steps:
        lines[-1] += f", {found.steps} steps"
    return "\n".join(lines)


def _table(found: Status) -> str:
    """A row for each rule, a column for each state."""
    lines = ["".join([f"{'rule':<11}", *(f"{state.value:>10}" for state in State), f"{'of':>7}"])]
    for rule, row in found.jobs.items():
        cells = [f"{row[state] or '':>10}" for state in State]
        lines.append("".join([f"{rule:<11}", *cells, f"{sum(row.values()):>7}"]))
    return "\n".join(lines)


def _models(found: Status) -> str:
    shown = [model for model in found.models if model.state != State.WAITING]
    width = max((len(model.name) for model in shown), default=0)
    lines = [f"  {each.name:<{width}}  {each.state:<8}  {each.progress or 'no epoch yet'}" for each in shown]
    return "\n".join(["Models", *lines]) if lines else ""


def _slurm(found: Status) -> str:
    if found.note or not found.slurm:
        return f"SLURM: {found.note}" if found.note else ""
    reasons = sorted({job.reason for job in found.slurm if job.state == "PENDING"})
    return "\n".join([f"SLURM: {summary(found.slurm)}", *([f"  waiting for: {', '.join(reasons)}"] if reasons else [])])


def _failed(found: Status) -> str:
    """Where to read on, and the end of each log."""
    lines = []
    for job in found.failed:
        lines.append(f"failed: {job.rule} {job.name}".rstrip())
        for path, ends in job.logs.items():
            lines += [f"  {path}", *(f"    {line}" for line in ends)]
    total = sum(row[State.FAILED] for row in found.jobs.values())
    if total > len(found.failed):
        lines.append(f"and {total - len(found.failed)} more (--failed {total} shows all)")
    return "\n".join(lines)


def _disk(found: Status) -> str:
    sizes = sorted(found.disk.items(), key=lambda item: -item[1])
    said = ", ".join(f"{name or 'tables and pictures'} {in_words(size)}" for name, size in sizes if size >= 100_000)
    used = f"{in_words(sum(found.disk.values()))}{f' ({said})' if said else ''}, " if sizes else ""
    return f"Disk: {used}free {in_words(found.free)}"
