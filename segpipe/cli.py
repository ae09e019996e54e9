"""The command ``segpipe``: the verbs of the workflow's rules, and some for people.

Imports that cost time are inside the verbs, so that ``--help`` answers at once.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from segpipe import __version__
from segpipe.errors import ExitCode, InterruptedRun, SegpipeError
from segpipe.log import logger, set_up_logging

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a folder of radiographs to masks and one MIoU per image. A whole run: `snakemake --cores 8`; "
    "each verb below is one step of it, or a look at it.",
    epilog="Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 config, 4 input, 5 too many quarantined images, 6 disk full, "
    "75 stopped with progress saved, 130 Ctrl-C.",
)

StageFile = Annotated[
    Path, typer.Option("--config", help="the stage's part of the config, as `segpipe scan` writes it")
]
Log = Annotated[Path | None, typer.Option(help="also write every line to this file")]
Output = Annotated[Path, typer.Option(help="where to write")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command(rich_help_panel="Steps of the workflow")
def scan(config: Annotated[Path, typer.Argument(help="a config file (YAML)")]) -> None:
    """List the images of a config and write the sample tables, as starting the workflow does."""
    from segpipe.config_file import load_config
    from segpipe.model.networks import check_options
    from segpipe.samples.scan import scan as scan_config

    set_up_logging(None)
    loaded = load_config(config)
    check_options(loaded.model.network, loaded.model.options)
    found = scan_config(loaded)
    typer.echo(f"{found.images} images in {len(found.shards)} shards: {loaded.folder / 'samples'}")


@app.command(rich_help_panel="Steps of the workflow")
def preprocess(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="the shard's sample table")],
    output: Output,
    log: Log = None,
) -> None:
    """Decode, window and fit a shard's images into its store."""
    from segpipe.ingest import preprocess_shard
    from segpipe.stages import PreprocessStage, load_stage

    set_up_logging(log)
    preprocess_shard(load_stage(config, PreprocessStage), table, output)


@app.command(rich_help_panel="Steps of the workflow")
def dataset(
    config: StageFile,
    output: Output,
    stores: Annotated[Path, typer.Option(help="folder of the shard stores")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    log: Log = None,
) -> None:
    """Gather the shards' tables; decide folds and find duplicates."""
    from segpipe.dataset import gather
    from segpipe.stages import DatasetStage, load_stage

    set_up_logging(log)
    gather(load_stage(config, DatasetStage), [stores / shard / "table.parquet" for shard in shards], output)


@app.command(rich_help_panel="Steps of the workflow")
def train(
    config: StageFile,
    dataset: Annotated[Path, typer.Option(help="dataset.parquet")],
    shards: Annotated[Path, typer.Option(help="folder of the shard stores")],
    model: Annotated[str, typer.Option(help="which model: fold0, fold1, ... or holdout")],
    output: Output,
    log: Log = None,
) -> None:
    """Train one model, going on from its last checkpoint if there is one."""
    from segpipe.stages import TrainStage, load_stage
    from segpipe.train.loop import train_model

    set_up_logging(log)
    train_model(load_stage(config, TrainStage), dataset, shards, model, output)


@app.command(rich_help_panel="Steps of the workflow")
def predict(
    config: StageFile,
    shard: Annotated[Path, typer.Option(help="the shard's store")],
    masks: Annotated[Path, typer.Option(help="folder for the masks")],
    output: Output,
    models: Annotated[list[Path], typer.Argument(help="folders of trained models")],
    dataset: Annotated[Path | None, typer.Option(help="dataset.parquet, for out-of-fold prediction")] = None,
    log: Log = None,
) -> None:
    """Predict a shard's masks at their original size; masks that are still right are kept."""
    from segpipe.predict.shard import predict_shard
    from segpipe.stages import PredictStage, load_stage

    set_up_logging(log)
    predict_shard(load_stage(config, PredictStage), shard, models, dataset, masks, output)


@app.command(rich_help_panel="Steps of the workflow")
def score(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="the shard's sample table")],
    shard: Annotated[Path, typer.Option(help="the shard's store")],
    predictions: Annotated[Path, typer.Option(help="what predict wrote")],
    masks: Annotated[Path, typer.Option(help="folder of the masks")],
    output: Output,
    log: Log = None,
) -> None:
    """Compare a shard's masks with their references, pixel by pixel."""
    from segpipe.score.shard import score_shard
    from segpipe.stages import ScoreStage, load_stage

    set_up_logging(log)
    score_shard(load_stage(config, ScoreStage), table, shard / "table.parquet", predictions, masks, output)


@app.command(rich_help_panel="Steps of the workflow")
def report(
    config: StageFile,
    predict_config: Annotated[Path, typer.Option(help="the predict stage's config")],
    results: Annotated[Path, typer.Option(help="results folder of the run")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    folds: Annotated[bool, typer.Option(help="whether this run trained its models")] = True,
    log: Log = None,
) -> None:
    """Write report.csv, summary.json and overview.png."""
    from segpipe.report.stage import write_run_report
    from segpipe.stages import PredictStage, ReportStage, load_stage

    set_up_logging(log)
    stage = load_stage(config, ReportStage)
    write_run_report(stage, load_stage(predict_config, PredictStage), results, shards, folds)


@app.command(rich_help_panel="Steps of the workflow")
def check(
    results: Annotated[Path, typer.Argument(help="results folder of a run")],
    tolerate: Annotated[float, typer.Option(help="largest fraction of quarantined images")] = 0.1,
    output: Annotated[Path | None, typer.Option(help="also write the summary to this file")] = None,
) -> None:
    """Print a run's summary; fail if too many images are quarantined."""
    import json

    from segpipe.io.atomic import write_text
    from segpipe.report.judge import judge
    from segpipe.report.summary import summary_text

    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    names = {"report": "report.csv", "overview": "overview.png", "masks": "masks"}
    text = summary_text(summary, {name: results / file for name, file in names.items()})
    typer.echo(f"\n{text}\n")
    judge(summary, tolerate)
    if output:
        write_text(output, text + "\n")


@app.command(rich_help_panel="For people")
def phantom(
    folder: Annotated[Path, typer.Argument(help="where to write images, masks and samples.csv")],
    count: Annotated[int, typer.Option(min=4, help="number of images")] = 48,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make seeded synthetic chest radiographs with masks, two of them broken on purpose."""
    from segpipe.phantom import make_phantoms

    make_phantoms(folder, count, seed)
    typer.echo(f"{count} images: {folder}")


@app.command(rich_help_panel="For people")
def validate(
    config: Annotated[Path, typer.Argument(help="a config file (YAML)")],
    cores: Annotated[int | None, typer.Option(min=1, help="images read at the same time; default: all cores")] = None,
    output: Annotated[Path | None, typer.Option(help="also write one row per image to this CSV file")] = None,
) -> None:
    """Read and check every image and mask as a run would; train nothing, and write nothing but --output."""
    from segpipe.validate import validate_config

    set_up_logging(None)
    found = validate_config(config, cores or len(os.sched_getaffinity(0)), output)
    typer.echo(found.report)
    if found.problem:
        raise found.problem


@app.command(rich_help_panel="For people")
def doctor() -> None:
    """Print versions, devices, networks, and which DICOM transfer syntaxes decode here."""
    from segpipe.doctor import diagnosis

    typer.echo(diagnosis())


@app.command(rich_help_panel="For people")
def explain(
    image: Annotated[str, typer.Argument(help="an image file, or with --config an image_id or path of the run")],
    config: Annotated[Path | None, typer.Option(help="the run's config file; without, the defaults")] = None,
    picture: Annotated[Path, typer.Option(help="where to draw before and after")] = Path("explain.png"),
) -> None:
    """Tell every step done to one image, with numbers, and draw it before and after."""
    from segpipe.explain import explain_image

    typer.echo(explain_image(image, config, picture))


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


@import_masks.command()
def coco(
    file: Annotated[Path, typer.Argument(help="COCO's instances.json")],
    output: MaskOutput,
    root: MaskRoot = None,
    images: ImagePaths = "",
    classes: ClassNames = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a category to leave out; several times")] = None,
) -> None:
    """Polygons and run lengths of COCO to a PNG for each image and class."""
    from segpipe.import_masks.command import import_coco
    from segpipe.import_masks.folder import Target

    set_up_logging(None)
    target = Target(output, root or output.parent, images)
    typer.echo(import_coco(file, target, classes or [], ignore or []))


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
    order: Annotated[str, typer.Option(help="pixels are counted along rows or columns")] = "rows",
    base: Annotated[int, typer.Option(help="number of the first pixel, 0 or 1")] = 1,
    starts: Annotated[str, typer.Option(help="absolute, or relative to the end of the run before")] = "absolute",
) -> None:
    """Run lengths in a CSV to a PNG for each image and class; the defaults are CheXmask's."""
    from segpipe.import_masks.command import import_rle
    from segpipe.import_masks.folder import Target
    from segpipe.import_masks.run_lengths import RunLengths

    set_up_logging(None)
    target, runs = Target(output, root or output.parent, images), RunLengths(order, base, starts)
    typer.echo(import_rle(file, target, classes or [], image_column, carry or [], size, runs))


def main() -> None:
    """Run the command; end with an exit code of :class:`segpipe.errors.ExitCode`."""
    # Threads that wait for work sleep instead of spinning: beside other work on the same cores, spinning made
    # training several times slower; alone it gained nothing. Torch reads this when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What cuBLAS needs to give the same bits every time (torch.use_deterministic_algorithms).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except (SegpipeError, InterruptedRun) as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception:
        _complain(f"a bug in segpipe {__version__}; please report these lines:\n{traceback.format_exc()}")
        sys.exit(ExitCode.BUG)


def _stop(number: int, _: object) -> None:
    """End where we are: everything finished is on disk, and temporary files clean up after themselves."""
    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleaning up
    raise InterruptedRun(
        "stopped. What was finished is kept (training: every whole epoch); the same command goes on from there.",
        ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.SAVED,
    )


def _complain(text: str) -> None:
    if not logger.handlers:
        set_up_logging(None)
    logger.error(text)
