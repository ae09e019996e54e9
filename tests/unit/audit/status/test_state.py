from dataclasses import replace

import pytest

from segpipe.audit.status.overview import Seen, State, count, jobs_of, last_lines, state_of
from segpipe.audit.status.queue import QueuedJob
from tests.unit.audit.status.conftest import RUN

NOTHING = Seen({}, {})
OUTPUT = "results/tiny/shards/0000/masks.npy"


def queued(number, state):
    return {number: QueuedJob(number, RUN, state, "0:00", "Priority", "/", "rule_preprocess_wildcards_0000")}


@pytest.fixture
def job(run):
    return jobs_of(run.config, ["0000", "0001"])[0]


def test_a_job_is_done_with_all_of_its_outputs_and_waits_without_a_log(run, job):
    assert state_of(job, NOTHING).state == State.WAITING
    run.finish(job)
    assert state_of(job, NOTHING).state == State.DONE
    job.outputs[0].unlink()
    assert state_of(job, NOTHING).state == State.WAITING


def test_a_log_without_outputs_is_a_failure(run, job):
    run.write(job.log, "killed")
    found = state_of(job, NOTHING)
    assert (found.state, found.label) == (State.FAILED, "preprocess 0000")


def test_a_job_that_slurm_ended_before_it_began_has_failed_with_slurms_log(run, job, tmp_path):
    found = state_of(job, replace(NOTHING, slurm_logs={str(job.log): tmp_path / "12.log"}))
    assert (found.state, found.slurm_log) == (State.FAILED, tmp_path / "12.log")


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (Seen({OUTPUT: None}, {}, head_here=True), State.RUNNING),
        (Seen({OUTPUT: None}, {}), State.INTERRUPTED),
        (Seen({OUTPUT: None}, {}, head_elsewhere=True), State.UNSEEN),
        (Seen({OUTPUT: "7"}, queued("7", "PENDING"), head_here=True), State.QUEUED),
        (Seen({OUTPUT: "7"}, queued("7", "RUNNING")), State.RUNNING),
        (Seen({OUTPUT: "7"}, queued("8", "RUNNING")), State.INTERRUPTED),
        (Seen({OUTPUT: "7"}, queued("8", "RUNNING"), head_here=True), State.RUNNING),
        (Seen({OUTPUT: "pod-x"}, {}, queue_known=False), State.UNSEEN),
    ],
)
def test_a_marked_job_is_in_work_or_was_interrupted_whatever_outputs_are_there(run, job, seen, state):
    run.finish(job)
    assert state_of(job, seen).state == state


def test_jobs_are_counted_by_rule(run):
    jobs = jobs_of(run.config, ["0000", "0001"])
    run.finish(jobs[0])
    counts = count(state_of(job, NOTHING) for job in jobs)
    assert list(counts) == ["preprocess", "dataset", "train", "predict", "score", "report", "check", "provenance"]
    assert (counts["preprocess"][State.DONE], counts["preprocess"][State.WAITING]) == (1, 1)


def test_last_lines_begin_with_the_last_error(tmp_path):
    log = tmp_path / "log"
    log.write_text("1 INFO a\n2 ERROR first\n3 INFO b\n\n4 ERROR results/x is wrong:\n  detail\n")
    assert last_lines(log) == ["4 ERROR results/x is wrong:", "  detail"]
    log.write_text("".join(f"{number} INFO line\n" for number in range(20)))
    assert last_lines(log) == [f"{number} INFO line" for number in range(14, 20)]
    assert last_lines(tmp_path / "missing") == []
