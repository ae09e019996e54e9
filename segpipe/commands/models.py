"""Verbs about models and masks: applying, exporting, importing."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from segpipe.commands.app import app
from segpipe.log import set_up_logging

import_masks = typer.Typer(no_args_is_help=True, help="Convert masks that come as one file for a whole set, once.")
app.add_typer(import_masks, name="import-masks", rich_help_panel="Models and masks")

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


@app.command(rich_help_panel="Models and masks")
def predict(
    images: Annotated[list[str], typer.Argument(help="a folder, files, or a pattern in quotes such as 'a/**/*.dcm'")],
    model: Annotated[
        list[Path],
        typer.Option(help="a model's folder, all models of a run (results/<name>/models), or a bundle; several times"),
    ],
    output: Annotated[Path, typer.Option(help="folder for the masks and predictions.csv")],
    form: Annotated[
        Literal["auto", "labels", "per_class"], typer.Option(help="one label image, or a 0/255 PNG for each class")
    ] = "auto",
    masks: Annotated[
        Literal["files", "rle"],
        typer.Option(help="a PNG each, or run lengths in masks.parquet"),
    ] = "files",
    probabilities: Annotated[
        Literal["none", "uint8", "float16"], typer.Option(help="also keep each pixel's probability")
    ] = "none",
    threshold: Annotated[float, typer.Option(help="smallest probability of a class's pixel")] = 0.5,
    mirror: Annotated[bool, typer.Option(help="also predict the mirrored picture, and take the mean")] = False,
    smallest_island: Annotated[
        float, typer.Option(help="remove pieces smaller than this share of the class's largest; 0: keep all")
    ] = 0.0,
    fill_holes: Annotated[bool, typer.Option(help="fill holes in each class's mask")] = False,
    inferer: Annotated[
        Literal["whole", "sliding_window"], typer.Option(help="picture at once, or in windows")
    ] = "whole",
    engine: Annotated[
        Literal["auto", "torch", "compile", "openvino"],
        typer.Option(help="what computes the networks; auto: the fastest that is installed"),
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="auto: float32 on a CPU, half of it on CUDA"),
    ] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="images at a time [default: what fits into a GPU; 4 on a CPU]")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option()] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="cores to use; the masks are the same for any number [default: all]")
    ] = None,
    links: Annotated[
        Literal["inside", "follow"], typer.Option(help="symbolic links: inside the folder only, or anywhere")
    ] = "inside",
    seconds_per_image: Annotated[int, typer.Option(min=1, help="CPU seconds after which reading is given up")] = 120,
    tolerate: Annotated[float, typer.Option(min=0, max=1, help="share of unreadable images that is no failure")] = 0.1,
    log: Annotated[Path | None, typer.Option(help="also write every line to this file")] = None,
) -> None:
    """Apply trained models to a folder of images; what is there from an interrupted call is kept."""
    from segpipe.pool.gpus import take_gpus
    from segpipe.pool.isolated import start_helper
    from segpipe.preprocess.read import image_reader

    set_up_logging(log)
    start_helper(image_reader)  # while this process imports torch
    take_gpus(device)  # before torch is imported
    from segpipe.predict.folder import outcome, predict_folder, predict_options

    wanted = predict_options(
        engine=engine,
        precision=precision,
        batch_size=batch_size or "auto",
        threshold=threshold,
        form=form,
        masks=masks,
        probabilities=probabilities,
        inferer=inferer,
        mirror=mirror,
        smallest_island=smallest_island,
        fill_holes=fill_holes,
        device=device,
    )
    cores = threads or len(os.sched_getaffinity(0))
    table = predict_folder(images, model, output, wanted, links, seconds_per_image, cores)
    typer.echo(outcome(table, tolerate, output))


@app.command(rich_help_panel="Models and masks")
def export(
    model: Annotated[Path, typer.Argument(help="a model's folder, as results/<name>/models/fold0")],
    output: Annotated[Path, typer.Argument(help="the folder to write")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="bundle (default), onnx, torch-export; several times")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="results folder of the run that trained it, for the scores in the model card")
    ] = None,
) -> None:
    """Write a model as MONAI bundle, ONNX or torch.export, with a model card; each is compared with the model."""
    from segpipe.interop.export_model import check_formats, export_model

    set_up_logging(None)
    for line in export_model(model, output, check_formats(formats or ["bundle"]), results):
        typer.echo(line)


@app.command("export-masks", rich_help_panel="Models and masks")
def export_masks(
    config: Annotated[Path, typer.Argument(help="a config file (YAML) whose run is finished")],
    format_: Annotated[
        Literal["seg", "nifti", "coco", "rle", "labelme"],
        typer.Option("--format", help="seg: DICOM SEG, which names the patient as its source does"),
    ],
    output: Annotated[Path | None, typer.Option(help="folder; default: results/<name>/exports/<format>")] = None,
    image_id: Annotated[list[str] | None, typer.Option(help="only this image; several times")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="labelme: how far, in pixels, outlines may be from the mask's; 0: same pixels")
    ] = 1.0,
) -> None:
    """Write a run's predicted masks for other programs, and exported.csv with a row per image."""
    from segpipe.interop.export_masks import export_masks as export

    set_up_logging(None)
    typer.echo(export(config, format_, output, image_id or [], tolerance))


@app.command("lr-find", rich_help_panel="Models and masks")
def lr_find(
    config: Annotated[Path, typer.Argument(help="a config file (YAML) whose run is prepared")],
    model: Annotated[str | None, typer.Option(help="whose training images: fold0 (default), ... or holdout")] = None,
    steps: Annotated[int, typer.Option(min=1, help="training steps, each at a higher rate")] = 100,
    lowest: Annotated[float, typer.Option(help="first learning rate")] = 1e-6,
    highest: Annotated[float, typer.Option(help="last learning rate, unless the loss diverges before")] = 1.0,
    output: Annotated[
        Path | None, typer.Option(help="folder of the files; default: results/<name>/lr-find/<model>")
    ] = None,
) -> None:
    """Try rising learning rates on a fresh network; write lr-find.csv and lr-find.png, and suggest one."""
    from segpipe.config.load import load_config
    from segpipe.pool.gpus import take_gpus

    set_up_logging(None)
    take_gpus(load_config(config).train.device)  # before torch is imported
    from segpipe.train.lr_find import find_learning_rate

    typer.echo(find_learning_rate(config, model, steps, lowest, highest, output))
