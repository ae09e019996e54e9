"""Snakemakes of this user that run on this machine, and in which folder."""

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

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
