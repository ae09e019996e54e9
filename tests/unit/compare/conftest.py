import numpy as np
import pandas as pd
import pytest

from segpipe.config import Predict
from segpipe.config.stages import ComparedVariant, CompareStage
from segpipe.preprocess.store import write_table
from segpipe.score.columns import score_table


def variant(network, loss="dice", patients=0):
    amount = f"{patients}patients" if patients else "all"
    return ComparedVariant(
        name=f"{network}-{loss}-{amount}", label=network, network=network, loss=loss, patients=patients
    )


def compare_stage(*variants, repeats=1):
    return CompareStage(
        title="$5 test", seed=0, classes=["lung"], models=["fold0", "fold1"], repeats=repeats,
        variants=list(variants), predict=Predict(batch_size=2), size=64,
    )  # fmt: skip


def scores_of(ious):
    """Scores of images i0, i1, ... in 100 pixels, lung and background each with the IoU given in percent."""
    counts = [[[iou, 100 - iou, 0, 0], [iou, 100 - iou, 0, 0]] for iou in ious]
    return score_table(
        [f"i{number}" for number in range(len(ious))], np.array(counts, np.int64).reshape(-1, 2, 4), ["lung"]
    )


@pytest.fixture
def results(tmp_path):
    """A results folder with the dataset of four images: p1 has two of them, p2 and p3 one each."""
    table = pd.DataFrame({"image_id": ["i0", "i1", "i2", "i3"], "patient": ["p2", "p1", "p1", "p3"]})
    write_table(tmp_path / "dataset/dataset.parquet", table)
    return tmp_path


@pytest.fixture
def write_scores(results):
    def write(trial, ious, shards=("0000", "0001")):
        table = scores_of(ious)
        for number, shard in enumerate(shards):
            write_table(results / trial / f"scores/{shard}.parquet", table.iloc[number :: len(shards)])

    return write
