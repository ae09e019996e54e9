"""``segpipe import-masks``: masks that come as one file for a whole set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from segpipe.commands.app import app
from segpipe.log import set_up_logging

import_masks = typer.Typer(no_args_is_help=True, help="Convert masks that come as one file for a whole set, once.")
app.add_typer(import_masks, name="import-masks", rich_help_panel="For people")

MaskOutput = Annotated[Path, typer.Argument(help="folder for masks/<class>/<image>.png and samples.csv")]
MaskRoot = Annotated[
    Path | None,
    typer.Option("--root", help="the later data.root, which holds images and OUTPUT; default: OUTPUT's parent"),
]
ImagePaths = Annotated[
    str, typer.Option("--images", help="where the images are below the root: a folder, or a path with {image}")
]
ClassNames = Annotated[
    list[str] | None, typer.Option("--class", help="NAME=TEXT: a class and what the file calls it; several times")
]
IgnoredNames = Annotated[
    list[str] | None, typer.Option("--ignore", help="what the file calls masks that are left out; several times")
]


@import_masks.command()
def coco(
    file: Annotated[Path, typer.Argument(help="COCO's instances.json")],
    output: MaskOutput,
    root: MaskRoot = None,
    images: ImagePaths = "",
    classes: ClassNames = None,
    ignore: IgnoredNames = None,
) -> None:
    """Polygons and run lengths of COCO to a PNG for each image and class."""
    from segpipe.interop.coco import import_coco
    from segpipe.interop.import_folder import Target

    set_up_logging(None)
    target = Target(output, root or output.parent, images)
    typer.echo(import_coco(file, target, classes or [], ignore or []))


@import_masks.command()
def labelme(
    folder: Annotated[Path, typer.Argument(help="folder of labelme's files, as export-masks writes them")],
    output: MaskOutput,
    root: MaskRoot = None,
    images: ImagePaths = "",
    classes: ClassNames = None,
    ignore: IgnoredNames = None,
) -> None:
    """Outlines that were drawn or corrected in labelme to a PNG for each image and class."""
    from segpipe.interop.import_folder import Target
    from segpipe.interop.labelme import import_labelme

    set_up_logging(None)
    target = Target(output, root or output.parent, images)
    typer.echo(import_labelme(folder, target, classes or [], ignore or []))


@import_masks.command()
def rle(
    file: Annotated[Path, typer.Argument(help="CSV with run lengths, as CheXmask's")],
    output: MaskOutput,
    root: MaskRoot = None,
    images: ImagePaths = "",
    classes: ClassNames = None,
    image_column: Annotated[str | None, typer.Option(help="column with the images; default: one of CheXmask's")] = None,
    carry: Annotated[list[str] | None, typer.Option(help="NAME=COLUMN for the sheet; several times")] = None,
    size: Annotated[str | None, typer.Option(help="ROWSxCOLUMNS of all masks, where no columns tell")] = None,
    order: Annotated[Literal["rows", "columns"], typer.Option(help="what pixels are counted along")] = "rows",
    base: Annotated[int, typer.Option(min=0, max=1, help="number of the first pixel")] = 1,
    starts: Annotated[
        Literal["absolute", "relative"], typer.Option(help="absolute, or relative to the end of the run before")
    ] = "absolute",
) -> None:
    """Run lengths in a CSV to a PNG for each image and class; the defaults are CheXmask's."""
    from segpipe.interop.import_folder import Target
    from segpipe.interop.rle import RunLengths, import_rle

    set_up_logging(None)
    target, runs = Target(output, root or output.parent, images), RunLengths(order, base, starts)
    typer.echo(import_rle(file, target, runs, classes or [], image_column, carry or [], size))
