"""`segpipe reproduce`: a run once more, in another folder, and compared with the first."""

import filecmp
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe.audit.provenance import RECORD, TABLES, project_folder, read_provenance
from segpipe.config import Config
from segpipe.config.load import left_out, parse_config, shareable
from segpipe.config.stages import ProvenanceStage, load_stage, stage_file
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import canonical_json, write_text
from segpipe.models.card import WEIGHTS

CONFIG = "reproduce.json"  # in the new folder; it also marks that folder as ours
TOLERANCE = 0.01
_SCORES = ("miou", "iou_", "dice_")  # how the columns with scores begin
_SHOWN = 10


def config_again(results: Path, output: Path, root: Path | None) -> dict[str, Any]:
    """The run's config, with ``output`` as its results folder and, if given, ``root`` as its archive.

    The folder ``config`` of the run has every path. In provenance.json alone, absolute ones are missing.

    Raises:
        ConfigError, InputError: there is no record, a path is missing in it, or ``output`` is no name for a run.
    """
    recorded = read_provenance(results)["same"]["config"]
    # Other configs may have been planned in this folder since; the record is of the run itself.
    planned = [load_stage(path, ProvenanceStage).config for path in sorted(results.glob(stage_file("provenance", "*")))]
    values = next((config for config in planned if shareable(config) == recorded), recorded)
    values = {**values, "name": output.name, "results": str(output.parent)}
    if root:
        values = {**values, "data": {**values["data"], "root": str(root)}}
    missing = left_out(values)
    if missing:
        raise ConfigError(
            f"{results / RECORD} holds no absolute paths, and {results / 'config'} has no such config with them: "
            f"{', '.join(missing)} cannot be known. `--root FOLDER` says where the archive lies (data.root); a run "
            "with other absolute paths is reproduced where its config is."
        )
    config = parse_config(values, str(results / RECORD))
    return json.loads(Config.model_dump_json(config))  # type: ignore[no-any-return]


def prepare(results: Path, output: Path, config: dict[str, Any]) -> Path:
    """Make ``output`` with the config of the run in it; returns the config's path.

    Raises:
        InputError: the folder is that of the run, lies in it or around it, or holds something else.
    """
    old, new = results.resolve(), output.resolve()
    if old == new or old in new.parents or new in old.parents:
        raise InputError(
            f"--output {output} is, holds or lies in {results}, which must stay as it is. Name another folder."
        )
    path, text = output / CONFIG, canonical_json(config)
    ours = path.is_file() and path.read_text(encoding="utf-8") == text
    if output.exists() and not ours and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"--output {output} holds something else than an attempt to reproduce this run, which could be damaged. "
            "Name a new folder, or remove that one."
        )
    if not ours:
        write_text(path, text)
    return path


def run_again(config: Path, cores: int, project: Path | None) -> None:
    """Call Snakemake in the present folder, to which relative paths of the config refer; its lines go to the terminal.

    Raises:
        InputError: the workflow is not there, or did not end well.
    """
    folder = project or project_folder()
    if folder is None or not (folder / "Snakefile").is_file():
        raise InputError(
            f"{folder or 'this installation of segpipe'} has no Snakefile: the package alone cannot run the workflow. "
            "Use a checkout of the project (`pip install -e .` in it), or say where one is with --workflow FOLDER."
        )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile"), "--cores", str(cores)]
    done = subprocess.run([*command, "--configfile", str(config)], check=False)
    if done.returncode:
        raise InputError(
            f"snakemake ended with {done.returncode}; its lines above say why. What was finished is kept: the same "
            "command goes on from there."
        )


@dataclass
class Comparison:
    """What differs; ``environment`` explains it, ``inputs`` make it no reproduction, ``files`` are outputs.

    ``scores`` is None where bytes decide, else what is beyond the tolerance.
    """

    inputs: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    compared: int = 0
    scores: list[str] | None = None
    tolerance: float = TOLERANCE

    @property
    def differs(self) -> bool:
        """Whether the run was not reproduced."""
        return bool(self.inputs) or bool(self.files if self.scores is None else self.scores)

    def text(self) -> str:
        """For a terminal."""
        lines = [f"made with another {line}" for line in self.environment]
        lines += [f"another input: {name}" for name in self.inputs]
        lines += [f"differs: {name}" for name in self.files[:_SHOWN]]
        if len(self.files) > _SHOWN:
            lines.append(f"and {len(self.files) - _SHOWN} more")
        if not self.files:
            lines.append(f"{self.compared} hashes and files compared: every byte is the same")
        elif self.scores is not None:
            verdict = self.scores or ["all scores of all images agree within it"]
            lines += [f"compared with a tolerance of {self.tolerance:g} instead:", *(f"  {line}" for line in verdict)]
        return "\n".join(lines)


def compare_runs(first: Path, second: Path, tolerance: float | None = None) -> Comparison:
    """Compare the results of two runs, ``first`` as far as it is there; its record is enough for hashes.

    Where bytes differ and versions or devices do, too, or a ``tolerance`` is given, scores decide.

    Raises:
        InputError: a record is missing, or scores cannot be compared for want of a report.csv.
    """
    before, after = read_provenance(first), read_provenance(second)
    found = Comparison(tolerance=TOLERANCE if tolerance is None else tolerance)
    found.environment = list(_environment(before["may_differ"], after["may_differ"]))
    recorded = dict(_recorded(before["same"], after["same"]))
    found.inputs = [name for name, same in recorded.items() if not same and name.startswith(("inputs", "config"))]
    files = recorded | dict(_files(first, second))
    found.files = [name for name, same in files.items() if not same and name not in found.inputs]
    found.compared = len(files)
    if found.files and (found.environment or tolerance is not None):
        found.scores = list(_scores(first, second, found.tolerance))
    return found


def _environment(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for kind in ("software", "devices"):
        for name in sorted({*before[kind], *after[kind]}):
            old, new = (_said(record[kind].get(name)) for record in (before, after))
            if old != new:
                yield f"{'device of ' if kind == 'devices' else ''}{name}: {old} then, {new} now"
    if before["machine"] != after["machine"]:
        yield f"machine: {before['machine']} then, {after['machine']} now"


def _said(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else str(value or "none")


def _recorded(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each thing of which both records have a hash, and whether the hashes are the same."""
    for name in sorted({*before["config"], *after["config"]}):
        # Where the archive lies is no part of a run; what it holds is, and has hashes.
        old, new = (_without_root(record["config"].get(name)) for record in (before, after))
        yield f"config: {name}", old == new
    for kind in ("inputs", "stores", "masks"):
        yield f"{kind} as a whole", before[kind]["sha256"] == after[kind]["sha256"]
        old, new = before[kind]["shards"], after[kind]["shards"]
        yield from ((f"{kind}/{shard}", old.get(shard) == new.get(shard)) for shard in sorted({*old, *new}))
    for kind in ("weights", "outputs"):
        for name in sorted({*before[kind], *after[kind]}):
            path = f"{name}/{WEIGHTS}" if kind == "weights" else name
            yield path, before[kind].get(name) == after[kind].get(name)


def _without_root(section: Any) -> Any:
    return {key: value for key, value in section.items() if key != "root"} if isinstance(section, dict) else section


def _files(first: Path, second: Path) -> Iterator[tuple[str, bool]]:
    """Those that the first run still has, and whether the second has the same bytes."""
    paths = [first / name for name in TABLES]
    paths += [*sorted(first.glob(f"models/*/{WEIGHTS}")), *sorted(first.glob("masks/**/*.png"))]
    for path in paths:
        if path.is_file():
            name = path.relative_to(first).as_posix()
            other = second / name
            yield name, other.is_file() and filecmp.cmp(path, other, shallow=False)


def _scores(first: Path, second: Path, tolerance: float) -> Iterator[str]:
    """What is beyond the tolerance, image by image."""
    old, new = _report(first), _report(second)
    if set(old.index) != set(new.index):
        yield f"{len(set(old.index) ^ set(new.index))} images are in one report.csv only"
        return
    new = new.loc[old.index]
    changed = old["status"] != new["status"]
    if changed.any():
        yield f"status: of {int(changed.sum())} images another, the first {changed.idxmax()}"
    for name in [column for column in map(str, old) if column.startswith(_SCORES)]:
        if name not in new:
            yield f"{name}: no such column now"
            continue
        one, two = (pd.to_numeric(table[name], errors="coerce") for table in (old, new))
        apart = (one - two).abs().where(one.notna() | two.notna(), 0).fillna(float("inf"))
        beyond = int((apart > tolerance).sum())
        if beyond:
            yield f"{name}: {beyond} of {len(apart)} images differ by more, most {apart.idxmax()} ({apart.max():.4f})"


def _report(folder: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(folder / "report.csv", index_col="image_id", dtype={"image_id": str}, low_memory=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / 'report.csv'} cannot be read ({type(error).__name__}). Bytes differ, and without both tables "
            "it cannot be said by how much."
        ) from None
