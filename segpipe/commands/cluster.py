"""Verbs to watch a run, here or on a cluster, and to clean up after a Snakemake that was killed."""

from pathlib import Path
from typing import Annotated

import typer

from segpipe.commands.app import app

Watched = typer.Argument(help="the run's config file (YAML); call it in the folder that Snakemake runs in")


@app.command(rich_help_panel="For people")
def status(
    config: Annotated[Path, Watched],
    failed: Annotated[int, typer.Option(min=0, help="show the logs of so many jobs that failed")] = 5,
    disk: Annotated[
        bool, typer.Option("--disk", help="measure the folders of the results, which asks for every file")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print all of it for programs")] = False,
) -> None:
    """Count what is done, failed and waiting, with the ends of logs; at any time, on one machine or on SLURM."""
    from segpipe.audit.status import as_json, as_text, look
    from segpipe.config.load import load_config

    found = look(load_config(config), failed, disk)
    typer.echo(as_json(found) if json else as_text(found))


@app.command(rich_help_panel="For people")
def orphans(
    config: Annotated[Path | None, typer.Argument(help="only jobs of this config's run, in the current folder")] = None,
    prefix: Annotated[str, typer.Option(help="slurm-jobname-prefix of the run")] = "segpipe",
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel jobs whose Snakemake is gone")] = False,
    head_is_gone: Annotated[
        bool, typer.Option("--head-is-gone", help="also those whose Snakemake was started elsewhere")
    ] = False,
) -> None:
    """List your SLURM jobs whose Snakemake was killed, and cancel them with --cancel; a live one keeps its jobs."""
    from segpipe.audit.slurm import report
    from segpipe.config.load import load_config

    for line in report(prefix, load_config(config) if config else None, cancel, head_is_gone):
        typer.echo(line)
