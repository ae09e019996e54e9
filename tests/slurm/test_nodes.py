"""One model trained by two processes on two nodes of a SLURM job, and stopped by its time limit in the middle."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.slurm.cluster import wait_until
from tests.slurm.conftest import Scene
from tests.slurm.place import CONFIG, LIMIT, Place, copy_of
from tests.workflow.training import WRITTEN

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

MODEL = f"results/{CONFIG['name']}/models/fold1"
# What docs/cluster.md says for several nodes, here without GPUs.
NODES = {"slurm_partition": "pair", "gpu": 0, "nodes": 2, "mpi": "srun", "tasks": 2}


@dataclass
class Pieces:
    """A training in two pieces, as one job."""

    job: dict[str, str]
    files: dict[str, bytes]
    log: str
    head: str


@pytest.fixture(scope="module")
def by_two_here(reference: Place) -> dict[str, bytes]:
    """What two processes of this machine give without a pause."""
    results = reference.folder / f"results/{CONFIG['name']}"
    output = reference.folder / "two"
    data = ["--dataset", str(results / "dataset/dataset.parquet"), "--shards", str(results / "shards")]
    config = [
        "--config",
        str(next((results / "config").glob("train-*.json"))),
        "--model",
        "fold1",
        "--output",
        str(output),
    ]
    segpipe = [sys.executable, "-m", "segpipe", "train", "--gpus", "2"]
    done = subprocess.run([*segpipe, *config, *data], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return {name: (output / name).read_bytes() for name in WRITTEN}


@pytest.fixture(scope="module")
def pieces(told) -> Pieces:
    return told[__name__].result()


def tell(scene: Scene) -> Pieces:
    cluster, folder = scene.cluster, scene.folder / "run"
    place = scene.keep(copy_of(scene.reference.result(), folder, ("models/fold1",), resources={"train": NODES}))
    place.hold("train-fold1-2")
    head = place.start(f"{MODEL}/model.safetensors")
    job = next(iter(place.wait_held("train-fold1-2", 1)))
    wait_until(lambda: len(list(place.gates.glob("train-fold1-2.*.held"))) == 2, "both processes", LIMIT)
    cluster.near_time_limit(job)
    wait_until(lambda: cluster.facts(job)["Restarts"] == "1", f"a restart of job {job}", LIMIT)
    cluster.control("update", f"JobId={job}", "TimeLimit=240")
    place.open("train-fold1-2")
    text = head.finish()
    files = {name: (place.folder / MODEL / name).read_bytes() for name in WRITTEN}
    log = (place.results / "logs/train/fold1.log").read_text()
    return Pieces(cluster.facts(job), files, log, text)


def test_the_job_has_two_nodes_and_goes_on_by_itself(pieces):
    facts = pieces.job
    assert (facts["JobState"], facts["NumNodes"], facts["Restarts"]) == ("COMPLETED", "2", "1")
    assert "failed" not in pieces.head


def test_the_pieces_give_the_bytes_of_two_processes_on_one_machine(pieces, by_two_here):
    assert [name for name in WRITTEN if pieces.files[name] != by_two_here[name]] == []
    assert "of 2 processes" in pieces.log
    assert "going on after epoch 1 and 1 steps of the next" in pieces.log or "going on after epoch 2" in pieces.log
