"""The files of a comparison, with real models."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from segpipe.compare.cost import measure
from segpipe.compare.stage import write_comparison
from segpipe.config import Dicom, Predict, Preprocess
from segpipe.models.card import ModelCard
from segpipe.models.networks.registry import build_network
from segpipe.models.weights import save_model
from tests.unit.compare.conftest import compare_stage, variant

SHARDS = ["0000", "0001"]


def model(folder, width):
    torch.manual_seed(0)
    network = build_network("fcn", 1, {"width": width})
    card = ModelCard(
        network="fcn", options={"width": width}, classes={"lung": None},
        preprocess=Preprocess(size=64).model_dump(mode="json"), dicom=Dicom().model_dump(mode="json"), provenance={},
    )  # fmt: skip
    save_model(folder, network.state_dict(), card)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def compared(results, write_scores):
    """Two networks on five and on all patients, from two seeds each, one training time missing."""
    variants = [variant(name, patients=most) for name in ("small", "large") for most in (5, 0)]
    for number, each in enumerate(variants):
        for trial in ("", "repeats/1/", "repeats/2/"):
            rng = np.random.default_rng(number)
            write_scores(f"compare/{each.name}/{trial}", rng.integers(60, 95, 4))
        model(results / "compare" / each.name / "models/fold0", 2 if each.network == "small" else 4)
        times = results / "benchmarks/compare" / each.name / "train"
        times.mkdir(parents=True)
        for name in ("fold0", "fold1", "fold0-r2", "fold1-r2")[: 3 if number else 4]:
            (times / f"{name}.tsv").write_text("s\tmax_rss\tcpu_time\n30.0\t500.5\t60.0\n")
    return results, compare_stage(*variants, repeats=2)


def rows(results, name):
    return list(csv.DictReader((results / name).read_text().splitlines()))


def test_tables_and_picture_are_written_the_same_twice_but_for_times(compared, caplog):
    results, stage = compared
    names = ["comparison.csv", "comparison-seeds.csv", "comparison-pairs.csv", "comparison.png"]
    write_comparison(stage, results, SHARDS)
    first = [(results / name).read_bytes() for name in names]
    write_comparison(stage, results, SHARDS)
    assert [(results / name).read_bytes() for name in names] == first
    table = rows(results, "comparison.csv")
    assert len({row["parameters"] for row in table}) == 2
    assert table[0]["difference"] == "", "the reference has none"
    assert len(rows(results, "comparison-seeds.csv")) == 8
    with Image.open(results / "comparison.png") as picture:
        assert min(picture.size) > 400
    times = rows(results, "comparison-times.csv")
    assert (times[0]["train_cpu_minutes"], times[0]["train_minutes"], times[0]["train_peak_mb"]) == ("1", "0.5", "500")
    assert all(float(row["predict_ms_per_image"]) > 0 for row in times)
    assert "1 of 4 training times are missing" in caplog.text


def test_parameters_are_those_of_the_network(tmp_path):
    wanted = model(tmp_path, 3)
    cost = measure(tmp_path, 64, Predict(batch_size=2, device="cpu"))
    assert (cost.parameters, cost.device) == (wanted, "cpu")
    assert cost.milliseconds > 0
