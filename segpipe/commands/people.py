"""Verbs for people: data to try, looks at a run, at an image, at this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from segpipe.commands.app import app
from segpipe.log import set_up_logging


@app.command(rich_help_panel="For people")
def phantom(
    folder: Annotated[Path, typer.Argument(help="where to write images, masks and samples.csv")],
    count: Annotated[int, typer.Option(min=4, help="number of images")] = 48,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make seeded synthetic chest radiographs with masks, two of them broken on purpose."""
    from segpipe.demo.files import make_phantoms

    make_phantoms(folder, count, seed)
    typer.echo(f"{count} images: {folder}")


@app.command(rich_help_panel="For people")
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


@app.command(rich_help_panel="For people")
def doctor() -> None:
    """Print versions, devices, networks, and which DICOM transfer syntaxes decode here."""
    from segpipe.audit.doctor import diagnosis

    typer.echo(diagnosis())


@app.command(rich_help_panel="For people")
def explain(
    image: Annotated[str, typer.Argument(help="an image file, or with --config an image_id or path of the run")],
    config: Annotated[Path | None, typer.Option(help="the run's config file; without, the defaults")] = None,
    picture: Annotated[Path, typer.Option(help="where to draw before and after")] = Path("explain.png"),
) -> None:
    """Tell every step done to one image, with numbers, and draw it before and after."""
    from segpipe.audit.explain import explain_image

    typer.echo(explain_image(image, config, picture))
