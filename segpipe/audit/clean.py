"""`segpipe clean --unused`: what a results folder holds of shards, models and settings that are gone.

Only names that segpipe itself gives are looked at; everything else in a results folder stays. No symbolic link is
followed: one that has such a name is listed as itself, and what lies behind one is never seen.
"""

import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.audit.slurm import is_locked
from segpipe.config import Config
from segpipe.config.load import load_config
from segpipe.config.variants import trials
from segpipe.errors import InputError
from segpipe.files.space import in_words
from segpipe.log import plain
from segpipe.preprocess.reuse import unused
from segpipe.samples.scan import read_scan

_DAY = 86_400.0  # seconds
_SHARD = re.compile(r"(\d+)(\.(parquet|log|tsv))?")
_OF_A_SCAN = re.compile(r"[a-z0-9]+-[0-9a-f]{16}\.(csv|json)")
_OF_SHARDS = ("predictions", "masks", "scores")  # in every trial, by shard
_NOTES = ("logs", "benchmarks")


@dataclass(frozen=True)
class Unused:
    """A file, folder or link below the results that can go, and why."""

    path: Path
    reason: str


class Results:
    """The results folder of a config as it is, with the shards of the last scan."""

    def __init__(self, config: Config) -> None:
        self.folder = config.folder
        self._config, self._trials, self._scan = config, trials(config), read_scan(config)
        self._tables = self._scan.shards
        given = [*config.model.weights, *([config.model.init] if config.model.init else [])]
        self._given = [Path(os.path.realpath(folder)) for folder in given]

    def unused(self) -> list[Unused]:
        """All of it, sorted by path; never a model that the config names, wherever it lies."""
        found = [*self._of_shards(), *self._stores(), *self._models(), *self._of_trials(), *self._of_scans()]
        return sorted((each for each in found if not self._is_given(each.path)), key=lambda each: each.path)

    def _of_shards(self) -> Iterator[Unused]:
        names = [f"{trial}{name}" for trial in self._trials for name in _OF_SHARDS]
        notes = [
            f"{kind}/{trial}{stage}" for kind in _NOTES for trial in self._trials for stage in ("predict", "score")
        ]
        for name in ["shards", *names, *notes, *(f"{kind}/preprocess" for kind in _NOTES)]:
            for path in children(self.folder, name):
                match = _SHARD.fullmatch(path.name)
                if match and match[1] not in self._tables:
                    yield Unused(path, "its shard is gone")

    def _stores(self) -> Iterator[Unused]:
        kept = children(self.folder, "kept")
        for store in unused(self.folder / "kept", self._tables) if kept else ():
            yield Unused(store.folder, "no present shard was made of this table")
        for path in kept:
            if path.name.startswith(".") and time.time() - path.lstat().st_mtime > _DAY:
                yield Unused(path, "left by a job that was killed")

    def _models(self) -> Iterator[Unused]:
        wanted = {name for names in self._trials.values() for name in names}
        for trial in self._trials:
            for path in children(self.folder, f"{trial}models"):
                if f"{trial}models/{path.name}" not in wanted:
                    yield Unused(path, "no model of the config")
                    continue
                for state in children(self.folder, f"{trial}models/{path.name}/checkpoints"):
                    if state.match("superseded-*.pt"):
                        yield Unused(state, "a checkpoint of settings or data that are gone")
        if self._config.model.weights:
            yield from (Unused(path, "the config gives its models") for path in children(self.folder, "dataset"))

    def _of_trials(self) -> Iterator[Unused]:
        variants = {name.split("/")[1] for name in self._trials if name.startswith("compare/")}
        for path in children(self.folder, "compare"):
            if path.name not in variants:
                yield Unused(path, "no variant of the config")
        for trial in self._trials:
            for path in children(self.folder, f"{trial}repeats") if "repeats/" not in trial else []:
                if f"{trial}repeats/{path.name}/" not in self._trials:
                    yield Unused(path, "no seed of the config")

    def _of_scans(self) -> Iterator[Unused]:
        """Sample tables, stages' configs and scans that were planned, or run before, and are not of the last run."""
        named = {self._scan.file, *map(self._scan.table, self._tables), *map(self._scan.stage, self._scan.stages)}
        for folder in ("samples", *(f"{trial}config" for trial in self._trials)):
            for path in children(self.folder, folder):
                if _OF_A_SCAN.fullmatch(path.name) and path.relative_to(self.folder).as_posix() not in named:
                    yield Unused(path, "the last run has others")

    def _is_given(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        return any(given.is_relative_to(real) or real.is_relative_to(given) for given in self._given)


def children(results: Path, folder: str) -> list[Path]:
    """What lies in ``results/folder``; nothing where a link is on the way there."""
    place = results
    for part in Path(folder).parts:
        place /= part
        if place.is_symlink():
            return []
    try:
        return sorted(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def find_unused(config: Path) -> list[Unused]:
    """What no table, model or trial of the last scan names.

    Raises:
        ConfigError, InputError: there is no such run.
    """
    return Results(load_config(config)).unused()


def listing(found: Sequence[Unused]) -> str:
    """A line for each with what its removal frees, and what that of all frees."""
    if not found:
        return "Nothing is unused."
    lines = [f"{in_words(freed([each.path])):>10}  {plain(str(each.path))}: {each.reason}" for each in found]
    return "\n".join([*lines, f"{len(found)} unused; removing them frees {in_words(freed(e.path for e in found))}."])


def remove_all(found: Sequence[Unused]) -> str:
    """Remove what was listed.

    Raises:
        InputError: Snakemake runs in this folder, so that a job may be writing there.
    """
    if is_locked(Path.cwd()):
        raise InputError(
            "Snakemake runs in this folder, or was killed here (.snakemake/locks is not empty), so nothing is removed. "
            "Wait until it ends; after a kill, `snakemake --unlock`."
        )
    total = freed(each.path for each in found)
    for each in found:
        remove(each.path)
    return f"{len(found)} removed, {in_words(total)} freed."


def freed(paths: Iterable[Path]) -> int:
    """Bytes that the disk has more without them: a file that has another name elsewhere stays."""
    statuses, links = dict[tuple[int, int], os.stat_result](), Counter[tuple[int, int]]()
    for path in paths:
        for status in _files(path):
            key = status.st_dev, status.st_ino
            statuses[key] = status
            links[key] += 1
    return sum(status.st_size for key, status in statuses.items() if links[key] >= status.st_nlink)


def _files(path: Path) -> Iterator[os.stat_result]:
    """Facts about a file, or about all files below a folder; none of links."""
    if path.is_dir() and not path.is_symlink():
        found = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    else:
        found = [path]
    yield from (status for each in found if stat.S_ISREG((status := each.lstat()).st_mode))


def remove(path: Path) -> None:
    """Delete a file, a folder with all it holds, or a link but not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
