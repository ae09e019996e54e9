"""Verbs about what a run left on the disk."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from segpipe.commands.app import app
from segpipe.log import set_up_logging

ConfigFile = Annotated[Path, typer.Argument(help="the run's config file (YAML)")]


@app.command(rich_help_panel="For people")
def verify(
    config: ConfigFile,
    inputs: Annotated[bool, typer.Option(help="also hash all images and masks, which reads the whole archive")] = True,
    recount: Annotated[int, typer.Option(min=0, help="images of each trial to score again from their masks")] = 100,
    cores: Annotated[int | None, typer.Option(min=1, help="files read at the same time; default: all cores")] = None,
    output: Annotated[Path | None, typer.Option(help="also write one row per difference to this CSV file")] = None,
) -> None:
    """Hash and compute again what a run read and wrote, and say what differs; change nothing. Exit code 7 if so."""
    from segpipe.audit.verify.command import verify_config
    from segpipe.errors import DifferenceError
    from segpipe.report.summary import counted

    set_up_logging(None)
    tally = verify_config(config, inputs, recount, cores or len(os.sched_getaffinity(0)))
    if output:
        tally.write(output)
    typer.echo(tally.text(() if inputs else ("input",)))
    if tally.findings:
        raise DifferenceError(
            f"{counted(len(tally.findings), 'difference')}; what to do stands behind each arrow above."
        )


@app.command(rich_help_panel="For people")
def reproduce(
    results: Annotated[Path, typer.Argument(help="results folder of a finished run; it is only read")],
    output: Annotated[Path | None, typer.Option(help="new results folder; default: RESULTS-reproduced")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="for snakemake; default: all cores")] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="largest difference of a score; 0.01 where versions or devices differ")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="where the archive lies now (data.root)")] = None,
    workflow: Annotated[
        Path | None, typer.Option(help="folder of the Snakefile; default: that of this checkout")
    ] = None,
) -> None:
    """Run a finished run again in another folder, and compare every byte. Exit code 7 if it differs."""
    from segpipe.audit.reproduce import compare_runs, config_again, prepare, run_again
    from segpipe.errors import DifferenceError

    set_up_logging(None)
    output = output or results.with_name(f"{results.resolve().name}-reproduced")
    config = prepare(results, output, config_again(results, output, root))
    run_again(config, cores or len(os.sched_getaffinity(0)), workflow)
    found = compare_runs(results, output, tolerance)
    typer.echo(found.text())
    if found.differs:
        raise DifferenceError(f"{output} is not what {results} was; what differs stands above.")


@app.command(rich_help_panel="For people")
def clean(
    config: ConfigFile,
    unused: Annotated[bool, typer.Option("--unused", help="what no present table, model or variant names")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; without, ask at a terminal, else only list")] = False,
) -> None:
    """List what a results folder holds of shards, models and settings that are gone, and remove it if told to."""
    from segpipe.audit.clean import find_unused, listing, remove_all

    set_up_logging(None)
    if not unused:
        raise typer.BadParameter("say what to clean: --unused")
    found = find_unused(config)
    typer.echo(listing(found))
    if found and (yes or (sys.stdin.isatty() and typer.confirm("Remove?"))):
        typer.echo(remove_all(found))
    elif found:
        typer.echo("Nothing was removed; --yes removes it.")
