"""From files to report.csv in one process: the kind of store that holds the masks changes no byte of it."""

import pytest

from segpipe.config_file import parse_config
from segpipe.ingest import preprocess_shard
from segpipe.phantom import make_phantoms
from segpipe.predict.shard import predict_shard
from segpipe.report.stage import write_run_report
from segpipe.samples.scan import scan
from segpipe.score.shard import score_shard
from segpipe.stages import stage_configs
from tests.unit.models import SIZE, write_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_phantoms(folder, 8, scale=0.25)
    return folder, write_model(folder / "model")


def run(data, results, **predict):
    """Every stage of a run with a given model."""
    folder, model = data
    config = parse_config(
        {
            "results": str(results),
            "classes": {"lung": None, "heart": None},
            "data": {
                "root": str(folder),
                "images": ["images/{p}.dcm", "images/{p}.png"],
                "masks": {name: f"masks/{name}/{{p}}.png" for name in ("lung", "heart")},
                "shards": 1,
            },
            "preprocess": {"size": SIZE},
            "model": {"weights": [str(model)]},
            "predict": {"threads": 1, "engine": "torch", **predict},
        }
    )
    (shard,) = scan(config).shards
    top, stages = config.folder, stage_configs(config, [])
    samples, store, masks = top / "samples" / f"{shard}.csv", top / "shards" / shard, top / "masks" / shard
    predictions = top / "predictions" / f"{shard}.parquet"
    preprocess_shard(stages["preprocess"], samples, store)
    predict_shard(stages["predict"], store, [model], None, masks, predictions)
    scores = top / "scores" / f"{shard}.parquet"
    score_shard(stages["score"], samples, store / "table.parquet", predictions, masks, scores)
    write_run_report(stages["report"], stages["predict"], top, [shard], with_folds=False)
    names = ("report.csv", "summary.json", "overview.png", f"scores/{shard}.parquet")
    return {name: (top / name).read_bytes() for name in names}


@pytest.mark.parametrize("form", ["per_class", "labels"])
def test_the_report_is_the_same_from_every_kind_of_store(data, tmp_path, form):
    reports = {kind: run(data, tmp_path / kind, masks=kind, form=form) for kind in ("files", "archive", "rle")}
    assert b",scored," in reports["files"]["report.csv"]
    assert reports["files"] == reports["archive"] == reports["rle"]
