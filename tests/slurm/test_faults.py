"""One run on a cluster that everything happens to: nobody can tell from its results, and each fault is met."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.conftest import Scene
from tests.slurm.place import LIMIT, Place, make_data

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

TRAININGS = ("fold0", "fold1", "fold2")
# More than one Snakemake takes, less than the two of a job and the command itself.
TOO_LITTLE, ENOUGH = 60, 1500


@dataclass
class Story:
    """The jobs by what became of them, and all that was written."""

    place: Place
    text: str
    jobs: dict[str, dict[str, str]]
    devices: list[list[str]]
    cancelled_shard: str
    first_trainings: dict[str, str]
    waiting: dict[str, str]
    cancelled_training: str
    requeued: str
    limited: str
    on_node: set[str]

    def of_rule(self, rule: str) -> list[dict[str, str]]:
        """SLURM's facts of the rule's jobs, in the order of their ids."""
        found = [facts for facts in self.jobs.values() if facts["Comment"].startswith(f"rule_{rule}")]
        return sorted(found, key=lambda facts: int(facts["JobId"]))


@pytest.fixture(scope="module")
def story(told) -> Story:
    return told[__name__].result()


def tell(scene: Scene) -> Story:
    cluster, folder = scene.cluster, scene.folder
    make_data(folder)
    memory = {"dataset": {"mem_mb": f"{TOO_LITTLE} if attempt == 1 else {ENOUGH}"}}
    place = scene.keep(Place(folder, memory))
    place.hold("preprocess", "predict-shard", *(f"train-{model}-2" for model in TRAININGS))
    head = place.start()
    shard = cancel_a_shard(cluster, place)
    first = place.wait_held("train-*-2", 2)
    wait_until(lambda: "PENDING" in cluster.jobs(folder).values(), "a third training that waits", LIMIT)
    states = cluster.jobs(folder)
    waiting = {job: cluster.facts(job)["Reason"] for job, state in states.items() if state == "PENDING"}
    cancelled, requeued, limited = meddle_with_trainings(cluster, place, first)
    on_node = take_a_node(cluster, place)
    text = head.finish()
    jobs = {job: facts for job, facts in cluster.history().items() if facts["WorkDir"] == str(folder)}
    devices = [line.split() for line in (cluster.folder / "devices").read_text().splitlines()]
    return Story(place, text, jobs, devices, shard, first, waiting, cancelled, requeued, limited, on_node)


def cancel_a_shard(cluster: Cluster, place: Place) -> str:
    """While both are preprocessed; the other one goes on when the new job is there, too."""
    jobs = place.wait_held("preprocess", 2)
    shard = min(jobs)
    cluster.output("scancel", shard)
    place.wait_held("preprocess", 2, but={shard})
    place.open("preprocess")
    return shard


def meddle_with_trainings(cluster: Cluster, place: Place, first: dict[str, str]) -> tuple[str, str, str]:
    """Cancel one, requeue one, and let SLURM's time limit come upon the third twice; all in the middle."""
    cancelled, requeued = sorted(first)
    free = [f"train-{model}-2" for model in TRAININGS if f"train-{model}-2" not in first.values()]
    later = free[0].replace("-2", "-3")
    place.hold(later)
    cluster.output("scancel", cancelled)
    cluster.control("requeue", requeued)
    place.open(*first.values())
    limited = next(iter(place.wait_held(free[0], 1)))
    come_to_the_limit(cluster, limited, restarts=1)
    place.open(free[0])
    place.wait_held(later, 1)
    come_to_the_limit(cluster, limited, restarts=2)
    place.open(later)
    return cancelled, requeued, limited


def come_to_the_limit(cluster: Cluster, job: str, restarts: int) -> None:
    """Until it is in the queue again, with time enough for what comes then."""
    cluster.near_time_limit(job)
    wait_until(lambda: cluster.facts(job)["Restarts"] == str(restarts), f"restart {restarts} of job {job}", LIMIT)
    cluster.control("update", f"JobId={job}", "TimeLimit=240")


def take_a_node(cluster: Cluster, place: Place) -> set[str]:
    """A node goes down under the jobs that predict, and comes back when they run elsewhere."""
    held = place.wait_held("predict-shard", 2)
    node = cluster.facts(min(held))["NodeList"]
    there = {job for job in held if cluster.facts(job)["NodeList"] == node}
    cluster.control("update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        wait_until(lambda: all(run_again(cluster, job, node) for job in there), f"{there} on another node", LIMIT)
    finally:
        cluster.control("update", f"NodeName={node}", "State=RESUME")
    place.open("predict-shard")
    return there


def run_again(cluster: Cluster, job: str, node: str) -> bool:
    facts = cluster.facts(job)
    return facts["Restarts"] == "1" and facts["JobState"] == "RUNNING" and facts["NodeList"] != node


def test_the_report_and_all_before_it_have_the_bytes_of_the_local_run(story, reference):
    wanted, found = reference.contents(), story.place.contents()
    assert len(wanted) > 30
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


def test_cancelled_jobs_are_submitted_again(story):
    for job, rule in ((story.cancelled_shard, "preprocess"), (story.cancelled_training, "train")):
        assert story.jobs[job]["JobState"] == "CANCELLED"
        assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in story.text
        again = story.of_rule(rule)[-1]
        assert int(again["JobId"]) > int(job)
        assert again["JobState"] == "COMPLETED"
    assert len(story.of_rule("preprocess")) == 3
    assert len(story.of_rule("train")) == 4


def test_a_requeued_job_and_those_of_a_lost_node_run_again_under_their_ids(story):
    assert story.on_node
    for job in {story.requeued, *story.on_node}:
        assert story.jobs[job]["JobState"] == "COMPLETED"
        assert story.jobs[job]["Restarts"] == "1"
        assert f"SLURM-job '{job}' failed" not in story.text


def test_training_beyond_the_time_limit_goes_on_in_pieces(story):
    facts = story.jobs[story.limited]
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "2")
    assert f"SLURM-job '{story.limited}' failed" not in story.text, "no retry is used up"


def test_too_little_memory_is_told_and_more_asked_for(story):
    first, second = story.of_rule("dataset")
    assert (first["JobState"], first["MinMemoryNode"]) == ("FAILED", f"{TOO_LITTLE}M")
    assert (second["JobState"], second["MinMemoryNode"]) == ("COMPLETED", "1500M")
    assert "Trying to restart job" in story.text
    log = Path(first["StdOut"]).read_text()
    assert re.search(r"exceeded memory limit", log), log


def test_two_trainings_run_at_once_and_never_on_one_device(story):
    assert len(story.first_trainings) == 2
    assert "Resources" in story.waiting.values()
    trainings = {facts["JobId"] for facts in story.of_rule("train")}
    used: dict[str, str] = {}
    most = 0
    for what, job, *device in story.devices:
        if job not in trainings:
            continue
        assert len(device) == 1, "each has one device"
        if what == "start":
            assert device[0] not in used, f"{used} and {job} on {device[0]}"
            used[device[0]] = job
        elif what == "end":
            assert used.pop(device[0]) == job
        else:
            assert used[device[0]] == job, "a job sees the device that it was given"
        most = max(most, len(used))
    assert (most, used) == (2, {})
