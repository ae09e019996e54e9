"""Snakemake itself is killed while its jobs run, twice."""

from dataclasses import dataclass

import pytest

from tests.slurm.cluster import wait_until
from tests.slurm.conftest import Scene
from tests.slurm.place import LIMIT, Place, copy_of

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

WITHOUT = ("models/fold0", "predictions/*", "scores/*", "masks", "report.csv", "summary.*", "overview.png")


@dataclass
class Story:
    """What Snakemake said the second and the last time, the jobs that wrote one model, and what the verbs said when."""

    place: Place
    locked: str
    writers: dict[str, str]
    last: str
    verbs: dict[str, str]


@pytest.fixture(scope="module")
def story(told) -> Story:
    return told[__name__].result()


def tell(scene: Scene) -> Story:
    place = scene.keep(copy_of(scene.reference.result(), scene.folder / "run", WITHOUT, partition="both"))
    verbs: dict[str, str] = {}
    locked = start_twice(place, verbs)
    unlock(place)
    writers = two_at_once(place, verbs)
    place.open("predict-shard")
    wait_until(lambda: not scene.cluster.jobs(place.folder), "the end of all jobs", LIMIT)
    unlock(place)
    return Story(place, locked, writers, place.start("--slurm-array-jobs", "score").finish(), verbs)


def start_twice(place: Place, verbs: dict[str, str]) -> str:
    """What a second start says after the first one was killed with its training in the second epoch."""
    place.hold("train-fold0-2", "predict-shard")
    head = place.start()
    place.wait_held("train-fold0-2", 1)
    verbs["while it runs"] = place.segpipe("orphans", "config.yaml") + place.segpipe("status", "config.yaml")
    head.kill()
    verbs["when it was killed"] = place.segpipe("orphans", "config.yaml") + place.segpipe("status", "config.yaml")
    again = place.start()
    assert again.process.wait(LIMIT) == 1
    return again.text


def two_at_once(place: Place, verbs: dict[str, str]) -> dict[str, str]:
    """The old job and the new one train the same model, and go on at the same moment; then Snakemake is killed."""
    head = place.start()
    writers = place.wait_held("train-fold0-2", 2)
    place.open("train-fold0-2")
    place.wait_held("predict-shard", 2)
    verbs["of the second"] = place.segpipe("orphans", "config.yaml")
    head.kill()
    return writers


def unlock(place: Place) -> None:
    done = place.run("--unlock")
    assert done.returncode == 0, done.stderr


def test_the_lock_that_is_left_says_how_to_go_on(story):
    assert "LockException" in story.locked
    assert "--unlock" in story.locked


def test_jobs_are_orphans_when_their_own_snakemake_is_gone(story):
    for text in (story.verbs["while it runs"], story.verbs["of the second"]):
        assert "its Snakemake runs here, process" in text
    assert "Snakemake runs here, process" in story.verbs["while it runs"]
    assert "its Snakemake is gone: orphans" in story.verbs["when it was killed"]
    assert "is locked by a Snakemake that is gone" in story.verbs["when it was killed"]
    assert "1 running (train 1)" in story.verbs["when it was killed"]
    assert "Its 1 SLURM jobs go on without it" in story.verbs["when it was killed"]


def test_two_jobs_write_the_same_model(cluster, story):
    assert set(story.writers.values()) == {"train-fold0-2"}
    assert [cluster.facts(job)["JobState"] for job in story.writers] == ["COMPLETED", "COMPLETED"]


def test_what_finished_without_its_head_is_not_done_again(story):
    assert "Predicting shard" not in story.last
    assert "Training" not in story.last
    assert "Scoring shard" in story.last


def test_shards_can_be_one_array(cluster, story):
    tasks = [facts for facts in cluster.history().values() if "ArrayTaskId" in facts]
    assert len({facts["ArrayJobId"] for facts in tasks}) == 1
    assert [facts["JobState"] for facts in tasks] == ["COMPLETED", "COMPLETED"]


def test_the_bytes_are_those_of_the_local_run(story, reference):
    wanted, found = reference.contents(), story.place.contents()
    assert [name for name in wanted if found.get(name) != wanted[name]] == []
    assert "Nothing to be done" in story.place.run("--cores", "1", "-n").stdout
