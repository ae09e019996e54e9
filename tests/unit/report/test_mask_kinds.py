"""From files to report.csv in one process: the kind of store that holds the masks changes no byte of it."""

import json

import pandas as pd
import pytest

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.demo.files import make_phantoms
from segpipe.predict.shard import predict_shard
from segpipe.preprocess.stage import preprocess_shard
from segpipe.report.stage import write_run_report
from segpipe.samples.scan import scan
from segpipe.score.stage import score_shard
from tests.unit.model_files import SIZE, write_model


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
            "predict": {"engine": "torch", **predict},
        }
    )
    found = scan(config)
    (shard,) = found.shards
    top, stages = config.folder, stage_configs(config, [])
    samples, store, masks = top / found.table(shard), top / "shards" / shard, top / "masks" / shard
    predictions = top / "predictions" / f"{shard}.parquet"
    preprocess_shard(stages["preprocess"], samples, store)
    predict_shard(stages["predict"], store, [model], None, masks, predictions)
    scores = top / "scores" / f"{shard}.parquet"
    score_shard(stages["score"], samples, store / "table.parquet", predictions, masks, scores)
    write_run_report({name: top / found.stage(name) for name in found.stages}, top, [shard], with_folds=False)
    names = ("report.csv", "summary.json", "overview.png", f"scores/{shard}.parquet")
    return {name: (top / name).read_bytes() for name in names}


@pytest.mark.parametrize("form", ["per_class", "labels"])
def test_the_report_is_the_same_from_every_kind_of_store(data, tmp_path, form):
    reports = {kind: run(data, tmp_path / kind, masks=kind, form=form) for kind in ("files", "rle")}
    assert b",scored," in reports["files"]["report.csv"]
    assert reports["files"] == reports["rle"]


def test_scores_without_a_reference_and_calibration_reach_the_report(data, tmp_path):
    run(data, tmp_path, probabilities="uint8")
    (folder,) = (path.parent for path in tmp_path.rglob("report.csv"))
    table = pd.read_csv(folder / "report.csv")
    scored, unlabelled = (table[table["status"] == status] for status in ("scored", "unlabelled"))
    assert (
        scored[["brier_lung", "ece_heart", "hd95_px_lung", "boundary_iou_heart", "entropy_lung"]].notna().all(axis=None)
    )
    assert unlabelled[["entropy_lung", "predicted_share_heart", "components_lung"]].notna().all(axis=None)
    assert unlabelled["hd95_px_lung"].isna().all()
    known = scored["spacing_row_mm"].notna()
    assert (scored["hd95_mm_lung"].notna() == known).all()
    assert known.any()
    groups = pd.read_csv(folder / "groups.csv")
    assert groups.loc[groups["metric"] == "miou", "mean"].iloc[0] == pytest.approx(scored["miou"].mean(), abs=1e-5)
    quality = json.loads((folder / "summary.json").read_text())["quality"]
    assert {row["measure"] for row in quality} == {"entropy", "disagreement", "components", "predicted_area_z"}


def test_an_edited_report_changes_nothing_when_it_is_made_again(data, tmp_path):
    before = run(data, tmp_path)
    (path,) = tmp_path.rglob("report.csv")
    path.write_bytes(before["report.csv"].replace(b"scored", b"training"))
    assert run(data, tmp_path)["report.csv"] == before["report.csv"]
