"""Verbs about data, runs and this machine: looking, checking, cleaning up."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from segpipe.commands.app import app
from segpipe.log import set_up_logging


@app.command(rich_help_panel="Runs, images and this machine")
def phantom(
    folder: Annotated[Path, typer.Argument(help="where to write images, masks and samples.csv")],
    count: Annotated[int, typer.Option(min=4, help="number of images")] = 48,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make seeded synthetic chest radiographs with masks, two of them broken on purpose."""
    from segpipe.demo.files import make_phantoms

    make_phantoms(folder, count, seed)
    typer.echo(f"{count} images: {folder}")


@app.command(rich_help_panel="Runs, images and this machine")
def validate(
    config: Annotated[Path, typer.Argument(help="a config file (YAML)")],
    cores: Annotated[int | None, typer.Option(min=1, help="images read at the same time; default: all cores")] = None,
    output: Annotated[Path | None, typer.Option(help="also write one row per image to this CSV file")] = None,
) -> None:
    """Read and check every image and mask as a run would; train nothing, and write nothing but --output."""
    from segpipe.audit.validate import validate_config

    set_up_logging(None)
    found = validate_config(config, cores or len(os.sched_getaffinity(0)), output)
    typer.echo(found.report)
    if found.problem:
        raise found.problem


@app.command(rich_help_panel="Runs, images and this machine")
def doctor() -> None:
    """Print versions, devices, networks, and which DICOM transfer syntaxes decode here."""
    from segpipe.audit.doctor import diagnosis

    typer.echo(diagnosis())


@app.command(rich_help_panel="Runs, images and this machine")
def explain(
    image: Annotated[str, typer.Argument(help="an image file, or with --config an image_id or path of the run")],
    config: Annotated[Path | None, typer.Option(help="the run's config file; without, the defaults")] = None,
    picture: Annotated[Path, typer.Option(help="where to draw before and after")] = Path("explain.png"),
) -> None:
    """Tell every step done to one image, with numbers, and draw it before and after."""
    from segpipe.audit.explain import explain_image

    typer.echo(explain_image(image, config, picture))


Watched = typer.Argument(help="the run's config file (YAML); call it in the folder that Snakemake runs in")


@app.command(rich_help_panel="Runs, images and this machine")
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


@app.command(rich_help_panel="Runs, images and this machine")
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


ConfigFile = Annotated[Path, typer.Argument(help="the run's config file (YAML)")]


@app.command(rich_help_panel="Runs, images and this machine")
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


@app.command(rich_help_panel="Runs, images and this machine")
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


@app.command(rich_help_panel="Runs, images and this machine")
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
