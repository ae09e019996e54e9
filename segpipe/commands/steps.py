"""The steps of the workflow: each of its rules calls one of these verbs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from segpipe.commands.app import app
from segpipe.errors import InputError, InterruptedRun
from segpipe.log import set_up_logging

StageFile = Annotated[
    Path, typer.Option("--config", help="the stage's part of the config, as `segpipe scan` writes it")
]
Threads = Annotated[int, typer.Option(min=1, help="cores to use; the result is the same for any number")]
Log = Annotated[Path | None, typer.Option(help="also write every line to this file")]
Output = Annotated[Path, typer.Option(help="where to write")]


@app.command(rich_help_panel="Steps of the workflow")
def scan(config: Annotated[Path, typer.Argument(help="a config file (YAML)")]) -> None:
    """List the images of a config and write the sample tables, as starting the workflow does."""
    from segpipe.config.load import load_config
    from segpipe.config.stages import ReportStage, load_stage
    from segpipe.models.card import check_models
    from segpipe.report.columns import check_groups
    from segpipe.samples.scan import begin
    from segpipe.samples.scan import scan as scan_config

    set_up_logging(None)
    loaded = load_config(config)
    check_models(loaded)
    found = scan_config(loaded)
    check_groups(load_stage(loaded.folder / found.stage("report"), ReportStage))
    begin(loaded, found)
    typer.echo(f"{found.images} images in {len(found.shards)} shards: {loaded.folder / 'samples'}")


@app.command(rich_help_panel="Steps of the workflow")
def preprocess(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="the shard's sample table")],
    output: Output,
    kept: Annotated[
        Path | None, typer.Option(help="folder in which stores are kept, to take over what did not change")
    ] = None,
    threads: Threads = 1,
    log: Log = None,
) -> None:
    """Decode, window and fit a shard's images into its store."""
    from segpipe.config.stages import PreprocessStage, load_stage
    from segpipe.preprocess.stage import preprocess_shard

    set_up_logging(log)
    stage = load_stage(config, PreprocessStage)
    _check_root(stage.root)
    preprocess_shard(stage, table, output, kept, threads)


@app.command(rich_help_panel="Steps of the workflow")
def dataset(
    config: StageFile,
    output: Output,
    stores: Annotated[Path, typer.Option(help="folder of the shard stores")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    log: Log = None,
) -> None:
    """Gather the shards' tables; decide folds and find duplicates."""
    from segpipe.config.stages import DatasetStage, load_stage
    from segpipe.dataset.stage import gather

    set_up_logging(log)
    gather(load_stage(config, DatasetStage), [stores / shard / "table.parquet" for shard in shards], output)


@app.command(rich_help_panel="Steps of the workflow")
def train(
    config: StageFile,
    dataset: Annotated[Path, typer.Option(help="dataset.parquet")],
    shards: Annotated[Path, typer.Option(help="folder of the shard stores")],
    model: Annotated[str, typer.Option(help="which model: fold0, fold1, ... or holdout; fold0-r2: its second seed")],
    output: Output,
    require_checkpoint: Annotated[
        bool, typer.Option("--require-checkpoint", help="fail rather than start anew where no checkpoint fits")
    ] = False,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of this job; with several, a process for each")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="nodes of this SLURM job, which the GPUs are spread over")] = 1,
    # No key of the config: it belongs to the machine, and changes no byte of the model.
    scratch: Annotated[
        str | None, typer.Option(envvar="SEGPIPE_SCRATCH", help="folder of this node to read a copy of the shards from")
    ] = None,
    log: Log = None,
) -> None:
    """Train one model, going on from its last checkpoint if there is one that fits.

    Stopped by SIGTERM it saves; in a SLURM job, it then goes back into the queue.
    """
    from segpipe.config.stages import TrainStage, load_stage
    from segpipe.pool.gpus import take_gpus
    from segpipe.train.distributed import go_on_later, is_launcher, launch

    set_up_logging(log if os.environ.get("RANK", "0") == "0" else None)  # torchrun starts several processes
    stage = load_stage(config, TrainStage)
    try:
        take_gpus(stage.train.device, max(1, gpus))  # before torch is imported
        if is_launcher(gpus, nodes):
            launch(gpus, nodes, sys.argv[1:])
            return
        from segpipe.train.stage import train_model

        train_model(stage, dataset, shards, model, output, require_checkpoint, scratch)
    except InterruptedRun as stop:
        if "RANK" not in os.environ and not is_launcher(gpus, nodes):  # of several processes, the first has done that
            go_on_later(stop)
        raise


@app.command(rich_help_panel="Steps of the workflow")
def predict_shard(
    config: StageFile,
    shard: Annotated[Path, typer.Option(help="the shard's store")],
    masks: Annotated[Path, typer.Option(help="folder for the masks")],
    output: Output,
    models: Annotated[list[Path], typer.Argument(help="folders of trained models")],
    dataset: Annotated[Path | None, typer.Option(help="dataset.parquet, for out-of-fold prediction")] = None,
    threads: Threads = 1,
    log: Log = None,
) -> None:
    """Predict a shard's masks at their original size; masks that are still right are kept."""
    from segpipe.config.stages import PredictStage, load_stage
    from segpipe.pool.gpus import take_gpus

    set_up_logging(log)
    stage = load_stage(config, PredictStage)
    take_gpus(stage.predict.device)  # before torch is imported
    from segpipe.predict.shard import predict_shard as predict

    predict(stage, shard, models, dataset, masks, output, threads)


@app.command(rich_help_panel="Steps of the workflow")
def score(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="the shard's sample table")],
    shard: Annotated[Path, typer.Option(help="the shard's store")],
    predictions: Annotated[Path, typer.Option(help="what predict wrote")],
    masks: Annotated[Path, typer.Option(help="folder of the masks")],
    output: Output,
    threads: Threads = 1,
    log: Log = None,
) -> None:
    """Compare a shard's masks with their references, pixel by pixel."""
    from segpipe.config.stages import ScoreStage, load_stage
    from segpipe.score.stage import score_shard

    set_up_logging(log)
    stage = load_stage(config, ScoreStage)
    _check_root(stage.root)
    score_shard(stage, table, shard / "table.parquet", predictions, masks, output, threads)


@app.command(rich_help_panel="Steps of the workflow")
def report(
    config: Annotated[
        list[Path], typer.Option(help="a stage's part of the config: report's, predict's, and those the page tells of")
    ],
    results: Annotated[Path, typer.Option(help="results folder of the run")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    folds: Annotated[bool, typer.Option(help="whether this run trained its models")] = True,
    log: Log = None,
) -> None:
    """Write report.csv, summary.json, groups.csv, overview.png and report.html."""
    from segpipe.config.stages import stage_name
    from segpipe.report.stage import write_run_report

    set_up_logging(log)
    write_run_report({stage_name(path): path for path in config}, results, shards, folds)


@app.command(rich_help_panel="Steps of the workflow")
def provenance(
    config: StageFile,
    results: Annotated[Path, typer.Option(help="results folder of the run")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    workflow: Annotated[
        Path | None, typer.Option(help="folder of the Snakefile; default: that of this checkout")
    ] = None,
    with_host: Annotated[bool, typer.Option("--with-host", help="also write the name of this machine")] = False,
    log: Log = None,
) -> None:
    """Write what the run was made from: provenance.json, ro-crate-metadata.json, a copy of the workflow."""
    from segpipe.audit.provenance import write_provenance
    from segpipe.config.load import parse_config
    from segpipe.config.stages import ProvenanceStage, load_stage

    set_up_logging(log)
    stage = load_stage(config, ProvenanceStage)
    write_provenance(parse_config(stage.config, str(config)), results, shards, workflow, with_host)


@app.command(rich_help_panel="Steps of the workflow")
def compare(
    config: StageFile,
    results: Annotated[Path, typer.Option(help="results folder of the run")],
    shards: Annotated[list[str], typer.Argument(help="names of the shards")],
    log: Log = None,
) -> None:
    """Compare variants that were trained and scored: comparison.csv, three more tables, comparison.png."""
    from segpipe.config.stages import CompareStage, load_stage
    from segpipe.pool.gpus import take_gpus

    set_up_logging(log)
    stage = load_stage(config, CompareStage)
    take_gpus(stage.predict.device)  # before torch is imported
    from segpipe.compare.stage import write_comparison

    write_comparison(stage, results, shards)


@app.command(rich_help_panel="Steps of the workflow")
def check(
    results: Annotated[Path, typer.Argument(help="results folder of a run")],
    tolerate: Annotated[float, typer.Option(help="largest fraction of quarantined images")] = 0.1,
    output: Annotated[Path | None, typer.Option(help="also write the summary to this file")] = None,
) -> None:
    """Print a run's summary; fail if too many images are quarantined."""
    import json

    from segpipe.files.atomic import write_text
    from segpipe.report.summary import check_quarantined, summary_text

    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    names = {"report": "report.csv", "page": "report.html", "groups": "groups.csv"}
    names |= {"overview": "overview.png", "masks": "masks"}
    text = summary_text(summary, {name: results / file for name, file in names.items()})
    typer.echo(f"\n{text}\n")
    check_quarantined(summary["images"]["quarantined"], summary["images"]["total"], tolerate)
    if output:
        write_text(output, text + "\n")


def _check_root(root: Path) -> None:
    """An archive that is away, as an unmounted disk, is no broken image."""
    if not root.is_dir():
        raise InputError(f"data.root: the folder {root} does not exist. Is its disk mounted? No image was looked at.")
