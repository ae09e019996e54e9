# What the rules share: the config, the scan of the images, and the names of files.
#
# A trial is a set of models that predict and are scored together, in a folder of its own: "" is the run
# itself, "repeats/2/" its second seed alone, "compare/<variant>/" a variant of a comparison. The rules from
# train to score serve them all, by the wildcard {trial}.

import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from segpipe.config.costs import (
    memory_mb,
    minutes,
    threads_of_shard,
    train_memory_mb,
)
from segpipe.config.load import parse_config
from segpipe.config.variants import RUN, repeat_folder, trials, variants
from segpipe.errors import SegpipeError
from segpipe.files.source import file_stamp
from segpipe.models.card import check_models
from segpipe.pool.gpus import gpus_wanted
from segpipe.samples.scan import (
    begin,
    hand_to_jobs,
    scan,
    scan_of_job,
    scan_without_files,
)

# `segpipe` of this very environment, whether or not it is activated where a job runs. A prefix replaces Snakemake's own.
shell.prefix(
    f"set -euo pipefail; export PATH={os.path.dirname(sys.executable)!r}:$PATH; "
)

# A run without a name is called as its config's file.
called = {"name": Path(path).stem for path in workflow.overwrite_configfiles}
MISSING = ""  # why nothing can run: the images are not there
try:
    CONFIG = parse_config({**called, **config}, "the config")
    # Only the main process looks at the files; a job takes what it found.
    if not workflow.is_main_process:
        CONFIG, SCAN = scan_of_job(CONFIG)
    elif CONFIG.data.root.is_dir():
        check_models(CONFIG)
        SCAN = scan(CONFIG)
        hand_to_jobs(CONFIG, SCAN)
        if {*CONFIG.report.by} - {"fold", "site"}:
            # Imported where columns have to be looked up: it costs as long as all else.
            from segpipe.config.stages import ReportStage, load_stage
            from segpipe.report.columns import check_groups

            check_groups(load_stage(CONFIG.folder / SCAN.stage("report"), ReportStage))
    else:
        # Nothing is lost for --lint, --unlock, --report and -n.
        SCAN, MISSING = scan_without_files(CONFIG)
        print(MISSING, file=sys.stderr)
except SegpipeError as error:
    raise WorkflowError(str(error))


onstart:
    if MISSING:
        raise WorkflowError(MISSING)
    begin(CONFIG, SCAN)


# profiles/default, which Snakemake reads beside any other profile, has one GPU: that of this machine. A cluster, to which
# jobs go in numbers (--jobs), hands out its own.
if workflow.nodes is not None:
    workflow.register_resource("gpu", None)

RESULTS = CONFIG.folder.as_posix()
SHARDS = sorted(SCAN.shards)
SHARD_THREADS = threads_of_shard(len(SHARDS))
TRAINS = not CONFIG.model.weights
TRIALS = trials(CONFIG)
VARIANTS = variants(CONFIG)
NETWORKS = {variant.folder: (variant.model, variant.train) for variant in VARIANTS}
MODELS = CONFIG.folds.models if TRAINS else ["none"]


wildcard_constraints:
    shard=r"\d+",
    trial=f"(?:{'|'.join(map(re.escape, TRIALS))})",
    model=rf"(?:{'|'.join(MODELS)})(?:-r\d+)?",


def images_of(wildcards):
    """How many images a job has: those of its shard, or all."""
    return SCAN.rows[wildcards.shard] if "shard" in wildcards.keys() else SCAN.images


def memory(stage):
    """Megabytes for a job of this stage; more at each attempt."""
    return lambda wildcards, attempt, threads: memory_mb(
        stage, images_of(wildcards), attempt, threads
    )


def runtime(stage, models=lambda wildcards: 1):
    """Minutes for a job of this stage, in which each image goes through so many models."""
    return lambda wildcards, attempt: minutes(
        stage, images_of(wildcards), attempt, models(wildcards)
    )


def sample_table(wildcards):
    """The images of a shard; another name where they are others."""
    return f"{RESULTS}/{SCAN.table(wildcards.shard)}"


def stage_config(stage):
    """The stage's part of the config; another name where that part is another."""
    return f"{RESULTS}/{SCAN.stage(stage)}"


def trial_config(stage):
    """The same of a stage whose part is another in each trial."""
    return lambda wildcards: stage_config(f"{wildcards.trial}{stage}")


def stamps(folders):
    """What tells one given model from another; models of this run are known by their inputs."""
    return [
        file_stamp(folder / name)
        for folder in folders
        for name in ("model.safetensors", "model.json")
    ]


def folder_of_shards(files):
    """The folder of all stores from their files, which a module's prefix may have moved; empty without images."""
    return os.path.dirname(os.path.dirname(files[0])) if files else ""


def of_shards(pattern, trial=RUN):
    """The files of all shards."""
    return [f"{RESULTS}/{trial}{pattern.format(shard=shard)}" for shard in SHARDS]


def of_seeds(pattern, trial, repeats):
    """The same of each seed alone, where there are several."""
    seeds = range(1, repeats + 1) if repeats > 1 else []
    return [
        file
        for seed in seeds
        for file in of_shards(pattern, repeat_folder(trial, seed))
    ]


def model_folders(wildcards):
    """Folders of the models that predict in a trial: this run's, or the given ones."""
    if TRAINS:
        return [f"{RESULTS}/{folder}" for folder in TRIALS[wildcards.trial]]
    return [folder.as_posix() for folder in CONFIG.model.weights]


def in_model_folders(name):
    """A file of each of them."""
    return lambda wildcards: [f"{folder}/{name}" for folder in model_folders(wildcards)]
