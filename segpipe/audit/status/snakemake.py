"""What Snakemake leaves on this machine: processes, marks of jobs, locks and logs."""

import binascii
import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

# Snakemakes of this user that run on this machine, and in which folder.

# Calls that run no jobs; and --mode marks those that Snakemake starts for its own jobs.
NO_RUN = {"--dry-run", "--dryrun", "--unlock", "--mode", "--report", "--lint", "--summary", "--rulegraph", "--dag"}
_DRY = re.compile("-[a-zA-Z]*n[a-zA-Z]*")  # -n, also as -np


@dataclass(frozen=True)
class Head:
    """A Snakemake that plans jobs; ``started`` in seconds since 1970, ``files`` are those it has open: also its log."""

    process: int
    folder: Path
    started: float
    files: frozenset[Path]


def running_heads(folder: Path | None = None) -> list[Head]:
    """Those whose working directory is this one, or all."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "create_time"]):
        facts = process.info
        place = facts["cwd"] and Path(facts["cwd"])
        if place and is_head(facts["cmdline"] or []) and (folder is None or place == folder.resolve()):
            found.append(Head(process.pid, place, facts["create_time"], _open_files(process)))
    return found


def _open_files(process: psutil.Process) -> frozenset[Path]:
    try:
        return frozenset(Path(file.path) for file in process.open_files())
    except psutil.Error:  # it has just ended
        return frozenset()


def is_head(words: list[str]) -> bool:
    """Whether this command line is that of a Snakemake that runs jobs."""
    program, *options = words[1:] if _is_python(words) else words or [""]
    if program == "-m" and options:
        program, *options = options
    if Path(program).name != "snakemake":
        return False
    return not NO_RUN & set(options) and not any(_DRY.fullmatch(word) for word in options)


def _is_python(words: list[str]) -> bool:
    return len(words) > 1 and Path(words[0]).name.startswith("python")


# What Snakemake leaves in ``.snakemake``: marks of jobs, locks, its own logs and those of SLURM jobs.
#
# The files are those of Snakemake 9: ``incomplete/<path in base64>`` while a job has an output in work, with the id
# that
# an executor gave the job; ``locks/<n>.output.lock``, the outputs that a running Snakemake may write.

FOLDER = Path(".snakemake")
HEAD, LOG_OF_JOB = 64_000, 16_000  # bytes of a log that tell whose it is

_HOST = re.compile(r"^  Host: (\S+)$", re.M)
_RUN = re.compile(r"^SLURM run ID: (\S+)$", re.M)
_LOG = re.compile(r"^\s+log: ([^\n,]+)|--log (\S+)", re.M)
_STEPS = re.compile(r"^(\d+) of (\d+) steps", re.M)


@dataclass(frozen=True)
class SnakemakeLog:
    """The log of one call of Snakemake: where it ran, the id of its SLURM jobs, and how far it got."""

    path: Path
    host: str
    run: str
    steps: str


def read_marks(folder: Path = FOLDER) -> dict[str, str | None]:
    """Outputs in work, or left by a job that was interrupted, with the id that SLURM or another executor gave it."""
    marks: dict[str, str | None] = {}
    for path in _files(folder / "incomplete"):
        output = _decoded(path.relative_to(folder / "incomplete"))
        if output is not None:
            marks[output] = _job_id(path)
    return marks


def read_locks(folder: Path = FOLDER) -> set[str]:
    """Outputs that a Snakemake has locked, whether it still runs or not."""
    texts = (_text(path) for path in (folder / "locks").glob("*.output.lock"))
    return {line for text in texts for line in text.splitlines()}


def newest_log(folder: Path = FOLDER) -> SnakemakeLog | None:
    """The log of the last call."""
    paths = sorted((folder / "log").glob("*.snakemake.log"))  # names begin with the time
    return read_log(paths[-1]) if paths else None


def log_of_run(run: str, folder: Path = FOLDER) -> SnakemakeLog | None:
    """The log of the call whose SLURM jobs have this name."""
    for path in sorted((folder / "log").glob("*.snakemake.log"), reverse=True):
        found = read_log(path)
        if found.run == run:
            return found
    return None


def read_log(path: Path) -> SnakemakeLog:
    """What stands at the beginning and at the end of a log."""
    text, end = _text(path, HEAD), tail(path, LOG_OF_JOB)
    host, run, steps = _HOST.search(text), _RUN.search(text), _STEPS.findall(end)
    said = f"{steps[-1][0]} of {steps[-1][1]}" if steps else ""
    return SnakemakeLog(path, host[1] if host else "", run[1] if run else "", said)


def slurm_logs(folder: Path = FOLDER) -> dict[str, Path]:
    """SLURM's newest log of each job, by the job's own log as its rule names it.

    Where they lie differs between single jobs, arrays and groups, so it is read from what they say.
    """
    found: dict[str, Path] = {}
    paths = [(path.stat().st_mtime, path) for path in _files(folder / "slurm_logs") if path.suffix == ".log"]
    for _, path in sorted(paths):
        for ours in _LOG.findall(_text(path, LOG_OF_JOB)):
            found[(ours[0] or ours[1]).split(" (")[0].strip("'\"")] = path
    return found


def tail(path: Path, size: int = 4000) -> str:
    """The end of a text file, from the beginning of a line; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.split("\n", 1)[-1] if length > size else text


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in names)


def _decoded(record: Path) -> str | None:
    """Long names are cut into folders that begin with @."""
    try:
        return urlsafe_b64decode("".join(part.removeprefix("@") for part in record.parts)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _job_id(path: Path) -> str | None:
    try:
        found = json.loads(_text(path)).get("external_jobid")
    except (ValueError, AttributeError):  # it is being written
        return None
    return None if found is None else str(found)


def _text(path: Path, size: int = -1) -> str:
    """Files come and go while Snakemake runs."""
    try:
        with path.open("rb") as file:
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""
