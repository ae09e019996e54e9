"""Snakemake itself is killed while its jobs run, twice."""

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.place import LIMIT, Place, copy_of

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

WITHOUT = ("models/fold0", "predictions/*", "scores/*", "masks", "report.csv", "summary.*", "overview.png")


@pytest.fixture(scope="module")
def place(reference: Place, place_for, tmp_path_factory) -> Place:
    return place_for(copy_of(reference, tmp_path_factory.mktemp("restart") / "run", WITHOUT))


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What the verbs said, and when."""
    return {}


@pytest.fixture(scope="module")
def locked(cluster: Cluster, place: Place, told: dict[str, str]) -> str:
    """What a second start says after the first one was killed with its training in the second epoch."""
    place.hold("train-fold0-2", "predict-shard")
    head = place.start()
    place.wait_held("train-fold0-2", 1)
    told["while it runs"] = place.segpipe("orphans", "config.yaml") + place.segpipe("status", "config.yaml")
    head.kill()
    told["when it was killed"] = place.segpipe("orphans", "config.yaml") + place.segpipe("status", "config.yaml")
    again = place.start()
    assert again.process.wait(LIMIT) == 1
    return again.text


@pytest.fixture(scope="module")
def two_writers(cluster: Cluster, place: Place, locked: str, told: dict[str, str]) -> dict[str, str]:
    """The old job and the new one train the same model, and go on at the same moment."""
    unlock(place)
    head = place.start()
    writers = place.wait_held("train-fold0-2", 2)
    place.open("train-fold0-2")
    place.wait_held("predict-shard", 2)
    told["of the second"] = place.segpipe("orphans", "config.yaml")
    head.kill()
    return writers


@pytest.fixture(scope="module")
def finished(cluster: Cluster, place: Place, two_writers: dict[str, str]) -> str:
    """What the last one says, which starts when all jobs of the others are over."""
    place.open("predict-shard")
    wait_until(lambda: not cluster.jobs(place.folder), "the end of all jobs", LIMIT)
    unlock(place)
    return place.start("--slurm-array-jobs", "score").finish()


def unlock(place: Place) -> None:
    done = place.run("--unlock")
    assert done.returncode == 0, done.stderr


def test_the_lock_that_is_left_says_how_to_go_on(locked):
    assert "LockException" in locked
    assert "--unlock" in locked


def test_jobs_are_orphans_when_their_own_snakemake_is_gone(locked, two_writers, told):
    for text in (told["while it runs"], told["of the second"]):
        assert "its Snakemake runs here, process" in text
    assert "Snakemake runs here, process" in told["while it runs"]
    assert "its Snakemake is gone: orphans" in told["when it was killed"]
    assert "is locked by a Snakemake that is gone" in told["when it was killed"]
    assert "1 running (train 1)" in told["when it was killed"]
    assert "Its 1 SLURM jobs go on without it" in told["when it was killed"]


def test_two_jobs_write_the_same_model(cluster, two_writers):
    assert set(two_writers.values()) == {"train-fold0-2"}
    assert [cluster.facts(job)["JobState"] for job in two_writers] == ["COMPLETED", "COMPLETED"]


def test_what_finished_without_its_head_is_not_done_again(finished):
    assert "Predicting shard" not in finished
    assert "Training" not in finished
    assert "Scoring shard" in finished


def test_shards_can_be_one_array(cluster, finished):
    tasks = [facts for facts in cluster.history().values() if "ArrayTaskId" in facts]
    assert len({facts["ArrayJobId"] for facts in tasks}) == 1
    assert [facts["JobState"] for facts in tasks] == ["COMPLETED", "COMPLETED"]


def test_the_bytes_are_those_of_the_local_run(finished, place, reference):
    wanted, found = reference.contents(), place.contents()
    assert [name for name in wanted if found.get(name) != wanted[name]] == []
    assert "Nothing to be done" in place.run("--cores", "1", "-n").stdout
