"""Writing and reading ``provenance.json``; beside it the crate and a copy of the workflow that ran."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segpipe.audit.crate import crate
from segpipe.audit.provenance import content, project_folder, surroundings
from segpipe.config import Config
from segpipe.errors import InputError
from segpipe.files.atomic import write_bytes, write_text
from segpipe.files.json_file import canonical_json, read_json

RECORD, CRATE, CONFIG = "provenance.json", "ro-crate-metadata.json", "workflow/config.json"
_FORMAT = 1


def write_provenance(
    config: Config, results: Path, shards: Sequence[str], project: Path | None = None, with_host: bool = False
) -> None:
    """Write ``provenance.json``, ``workflow/`` and ``ro-crate-metadata.json`` into ``results``.

    ``project`` is the folder with the Snakefile that ran; by default the checkout that this package is part of.

    Raises:
        InputError: a table, model or output of the run is missing or damaged.
    """
    project = project or project_folder()
    record: dict[str, Any] = {
        "format": _FORMAT,
        "same": content(config, results, shards),
        "may_differ": surroundings(config, results, shards, project, with_host),
    }
    copied = [] if project is None else _copy_workflow(project, results)
    write_text(results / CONFIG, canonical_json(record["same"]["config"]))
    write_text(results / RECORD, canonical_json(record))
    write_text(results / CRATE, canonical_json(crate(record, results, [*copied, CONFIG, RECORD])))


def read_provenance(results: Path) -> dict[str, Any]:
    """The record of a run.

    Raises:
        InputError: there is none, or another version of segpipe wrote it.
    """
    path = results / RECORD
    record = read_json(
        path,
        missing="{path} cannot be read ({reason}), so it is not known what the run was made from. Give the results "
        "folder of a finished run; snakemake writes the file at its end.",
        damaged="{path} is no JSON: it was changed or cut. Delete it and run snakemake.",
    )
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise InputError(f"{path} is of another version of segpipe. Delete it and run snakemake.")
    return record


def _copy_workflow(project: Path, results: Path) -> list[str]:
    """Snakefile and rules as they are now, into ``workflow/``; the names of the copies below ``results``."""
    names = ["Snakefile", *sorted(f"workflow/rules/{path.name}" for path in (project / "workflow/rules").glob("*.smk"))]
    for name in names:
        write_bytes(results / "workflow" / name, (project / name).read_bytes())
    return [f"workflow/{name}" for name in names]
