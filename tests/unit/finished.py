"""A whole run of a few small phantoms, as the workflow leaves it, with models that nobody trained."""

import json
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from segpipe.audit.provenance import write_provenance
from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.dataset.stage import gather
from segpipe.demo.files import make_phantoms
from segpipe.predict.shard import predict_shard
from segpipe.preprocess.stage import preprocess_shard
from segpipe.preprocess.store import FILES
from segpipe.report.stage import write_run_report
from segpipe.samples.scan import begin, scan
from segpipe.score.stage import score_shard
from tests.unit.model_files import TINY, write_model

SIZE, IMAGES = 64, 12


def values_of(folder: Path) -> dict:
    """The config; the last two of the phantoms are broken."""
    return {
        "name": "run",
        "results": str(folder / "results"),
        "classes": {"lung": None, "heart": None},
        "data": {
            "root": str(folder / "data"),
            "images": ["images/{patient}_{view}.dcm", "images/{patient}_{view}.png"],
            "masks": {name: f"masks/{name}/{{patient}}_{{view}}.png" for name in ("lung", "heart")},
            "shards": 2,
        },
        "preprocess": {"size": SIZE},
        "folds": {"k": 2, "val_fraction": 0.2},
        "model": {"network": "unet", "options": TINY},
        "predict": {"engine": "torch"},
    }


def make_run(folder: Path) -> Config:
    """Make the files and run every stage but training."""
    make_phantoms(folder / "data", IMAGES, 1, scale=0.2)
    values = values_of(folder)
    (folder / "config.yaml").write_text(json.dumps(values))
    config = parse_config(values)
    for model in config.folds.models:
        write_model(config.folder / "models" / model, preprocess=config.preprocess)
    run_stages(config)
    return config


@contextmanager
def map_here(prepare, arguments, items, limits, workers):
    """What ``isolated_map`` does, without a process of its own."""
    read = prepare(*arguments)
    yield (read(sample) for sample in items)


def run_stages(config: Config) -> None:
    """What Snakemake does, in one process."""
    found = scan(config)
    begin(config, found)
    results, shards = config.folder, sorted(found.shards)
    files = {name: results / found.stage(name) for name in found.stages}
    stages = stage_configs(config, json.loads(files["report"].read_text())["carried"])
    for shard in shards:
        table, output = results / found.table(shard), results / "shards" / shard
        with patch("segpipe.preprocess.read.isolated_map", map_here):
            preprocess_shard(stages["preprocess"], table, output, results / "kept")
    gather(stages["dataset"], [results / "shards" / shard / FILES[2] for shard in shards], results / "dataset")
    models = [results / "models" / name for name in config.folds.models]
    for shard in shards:
        store, masks = results / "shards" / shard, results / "masks" / shard
        predictions, scores = (results / name / f"{shard}.parquet" for name in ("predictions", "scores"))
        predict_shard(stages["predict"], store, models, results / "dataset/dataset.parquet", masks, predictions)
        samples = results / found.table(shard)
        with patch("segpipe.score.stage.isolated_map", map_here):
            score_shard(stages["score"], samples, store / FILES[2], predictions, masks, scores)
    write_run_report(files, results, shards, with_folds=True)
    write_provenance(config, results, shards)
