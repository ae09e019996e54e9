# What the rules share: the config, the scan of the images, and the names of files.

import os
import sys

from snakemake.exceptions import WorkflowError

from segpipe.config_file import parse_config
from segpipe.errors import SegpipeError
from segpipe.gpu import gpus_wanted
from segpipe.io.stamp import file_stamp
from segpipe.model.card import check_contract, read_card
from segpipe.model.networks import check_options
from segpipe.samples.scan import read_scan, scan

# `segpipe` of this very environment, whether or not it is activated where a job runs.
shell.prefix(f"export PATH={os.path.dirname(sys.executable)!r}:$PATH; ")

try:
    CONFIG = parse_config(config, "the config")
    check_options(CONFIG.model.network, CONFIG.model.options)
    if CONFIG.model.weights:
        card = read_card(CONFIG.model.weights)
        check_contract(
            card,
            CONFIG.model.weights,
            CONFIG.class_values,
            CONFIG.preprocess,
            CONFIG.dicom,
        )
    # Only the main process looks at the files; a job reads what it found.
    SCAN = scan(CONFIG) if workflow.is_main_process else read_scan(CONFIG)
except SegpipeError as error:
    raise WorkflowError(str(error))

RESULTS = CONFIG.folder.as_posix()
SHARDS = sorted(SCAN.shards)
TRAINS = CONFIG.model.weights is None
MODELS = CONFIG.folds.models if TRAINS else []


wildcard_constraints:
    shard=r"\d+",
    model="|".join(MODELS) or "none",


def stage_config(stage):
    """The stage's part of the config, a file that changes only when that part does."""
    return f"{RESULTS}/config/{stage}.json"


def weights_stamps():
    """What tells one given model from another; models of this run are known by their inputs."""
    if TRAINS:
        return []
    return [
        file_stamp(CONFIG.model.weights / name)
        for name in ("model.safetensors", "model.json")
    ]


def of_shards(pattern):
    """The files of all shards."""
    return expand(f"{RESULTS}/{pattern}", shard=SHARDS)


def model_folders():
    """Folders of the models that predict: this run's, or the given one."""
    if TRAINS:
        return [f"{RESULTS}/models/{model}" for model in MODELS]
    return [CONFIG.model.weights.as_posix()]
