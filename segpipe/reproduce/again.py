"""A run once more: the same config, another results folder, and Snakemake as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from segpipe.config import Config, canonical_json
from segpipe.config_file import parse_config
from segpipe.errors import ConfigError, InputError
from segpipe.io.atomic import write_text
from segpipe.provenance.paths import left_out, shareable
from segpipe.provenance.record import RECORD, read_provenance
from segpipe.provenance.surroundings import project_folder
from segpipe.stages import ProvenanceStage, load_stage, stage_file

CONFIG = "reproduce.json"  # in the new folder; it also marks that folder as ours


def config_again(results: Path, output: Path, root: Path | None) -> dict[str, Any]:
    """The run's config, with ``output`` as its results folder and, if given, ``root`` as its archive.

    The folder ``config`` of the run has every path. In provenance.json alone, absolute ones are missing.

    Raises:
        ConfigError, InputError: there is no record, a path is missing in it, or ``output`` is no name for a run.
    """
    recorded = read_provenance(results)["same"]["config"]
    own = results / stage_file("provenance")
    whole: dict[str, Any] = load_stage(own, ProvenanceStage).config if own.is_file() else {}
    # A dry run with another config has written that one there; the record is of the run itself.
    values = whole if shareable(whole) == recorded else recorded
    values = {**values, "name": output.name, "results": str(output.parent)}
    if root:
        values = {**values, "data": {**values["data"], "root": str(root)}}
    missing = left_out(values)
    if missing:
        raise ConfigError(
            f"{results / RECORD} holds no absolute paths, and {own}, which does, is missing or of another config: "
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
