"""Same config, same data, same bytes: whatever the cores, the shards, or a kill on the way."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.workflow.conftest import PROJECT, TINY, Run

COMPARED = ["report.csv", "overview.png", "summary.json"]
MODEL = ["model.safetensors", "model.json", "history.csv", "training.csv"]


def contents(results: Path) -> dict[str, bytes]:
    """What must not differ, without what names shards."""
    files = {name: (results / name).read_bytes() for name in COMPARED}
    files |= {path.name: path.read_bytes() for path in (results / "masks").rglob("*.png")}
    for model in ("fold0", "fold1"):
        files |= {f"{model}/{name}": (results / "models" / model / name).read_bytes() for name in MODEL}
    return files


def test_other_cores_shards_and_batches_give_the_same_bytes(finished: Run):
    other = {
        **TINY,
        "name": "other",
        "data": {**TINY["data"], "shards": 1},
        "predict": {"batch_size": 1},
        "train": {**TINY["train"], "workers": 1},
    }
    finished.snakemake(other, "--cores", "1")
    assert contents(finished.results(other)) == contents(finished.results(TINY))


def test_killing_training_and_starting_again_gives_the_same_bytes(finished: Run):
    """SIGKILL to everything, between two epochs; then the two commands that the documentation gives."""
    config = {**TINY, "name": "killed"}
    finished.snakemake(
        config,
        "--cores",
        "1",
        finished.results(config).relative_to(finished.folder).as_posix() + "/dataset/dataset.parquet",
    )
    path = finished.folder / "killed.yaml"
    checkpoint = finished.results(config) / "models/fold0/checkpoints/last.pt"
    head = subprocess.Popen(
        finished.command(path, "--cores", "1", "--until", "train"),
        cwd=PROJECT, env=finished.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    killed = False
    deadline = time.monotonic() + 300
    while head.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists() and not (finished.results(config) / "models/fold0/model.json").exists():
            os.killpg(head.pid, signal.SIGKILL)
            killed = True
            break
        time.sleep(0.01)
    head.wait()
    assert killed, "training was over before it could be killed"
    finished.snakemake(config, "--unlock")
    finished.snakemake(config, "--cores", "2")
    assert "going on after epoch" in (finished.results(config) / "logs/train/fold0.log").read_text()
    assert contents(finished.results(config)) == contents(finished.results(TINY))


def test_another_kind_of_store_gives_the_same_report_and_leaves_nothing_of_the_old(finished: Run):
    """In a copy of the finished run; then the table is damaged, and predicting again gives the same bytes."""
    results, other = finished.results(TINY), {**TINY, "name": "rle", "predict": {"masks": "rle"}}
    moved = finished.results(other)
    shutil.copytree(results, moved)
    finished.snakemake(other, "--cores", "2")
    for name in ("report.csv", "overview.png", "summary.json"):
        assert (moved / name).read_bytes() == (results / name).read_bytes(), name
    files = sorted(path.relative_to(moved / "masks").as_posix() for path in (moved / "masks").rglob("*.*"))
    assert files == [f"{shard}/{name}" for shard in ("0000", "0001") for name in ("journal.csv", "masks.parquet")]
    whole = moved / "masks/0000/masks.parquet"
    before = whole.read_bytes()
    whole.write_bytes(before[: len(before) // 2])
    finished.snakemake(other, "--cores", "1", "--force", "results/rle/predictions/0000.parquet")
    assert "0 of them kept from before" in (moved / "logs/predict/0000.log").read_text()
    assert whole.read_bytes() == before


def test_predicting_again_keeps_masks_that_are_right_and_redoes_a_damaged_one(finished: Run):
    results = finished.results(TINY)
    before = contents(results)
    damaged = sorted((results / "masks").rglob("*.png"))[0]
    damaged.write_bytes(damaged.read_bytes()[:50])
    shard = damaged.parent.name
    finished.snakemake(TINY, "--cores", "1", "--force", f"results/tiny/predictions/{shard}.parquet")
    log = (results / f"logs/predict/{shard}.log").read_text()
    masks = len(list(damaged.parent.glob("*.lung.png")))
    assert f"{masks} masks, {masks - 1} of them kept from before" in log
    finished.snakemake(TINY, "--cores", "1")
    assert contents(results) == before
