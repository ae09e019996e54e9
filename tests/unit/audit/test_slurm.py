"""Jobs in SLURM, as squeue tells them, and what is taken for an orphan."""

import subprocess
import sys

import pytest

from segpipe.audit import slurm as queue
from segpipe.audit.slurm import cancel, find_runs, is_run_of, queued_jobs, report, snakemakes
from segpipe.errors import ConfigError, InputError
from tests.unit.audit.conftest import RUN

OTHER = RUN.replace("3dac", "4dac")
HOLDER = """
import sys
log = open(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def told(*arguments, config=None, cancel=False, head_is_gone=False):
    return "\n".join(report(*(arguments or ["segpipe"]), config, cancel, head_is_gone))


@pytest.fixture
def jobs(run, slurm):
    """Two jobs of a run whose Snakemake is gone."""
    run.log()
    slurm.add("7", RUN, run.path)
    slurm.add("8_1", RUN, run.path, state="PENDING", reason="Priority", comment="rule_train_wildcards_fold0")
    return slurm


@pytest.fixture
def holder(run):
    """Starts a process that has a file open, as Snakemake its log; in the run's folder."""
    processes = []

    def hold(log, folder=run.path):
        command = [sys.executable, "-c", HOLDER, str(log)]
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield hold
    for process in processes:
        process.communicate("")


def test_jobs_are_read_with_their_run_folder_and_rule(slurm, tmp_path):
    slurm.add("12", RUN, tmp_path)
    slurm.add("13_4", RUN, tmp_path, state="PENDING", reason="Priority", comment="rule_score_wildcards_repeats_1__0003")
    first, second = queued_jobs()
    assert (first.id, first.rule, first.state, first.folder) == ("12", "preprocess", "RUNNING", str(tmp_path))
    assert (second.id, second.rule, second.state, second.reason) == ("13_4", "score", "PENDING", "Priority")


def test_a_comment_may_hold_anything_and_a_broken_line_is_left_out(slurm, tmp_path):
    slurm.add("12", RUN, tmp_path, comment="rule_check\tmore")
    queue_file = slurm.folder / "queue"
    queue_file.write_text(queue_file.read_text() + "slurm_load_jobs warning\n")
    assert [job.comment for job in queued_jobs()] == ["rule_check\tmore"]


def test_a_prefix_is_that_of_snakemakes_plugin_and_nothing_that_begins_alike(slurm, tmp_path):
    slurm.add("1", RUN, tmp_path)
    slurm.add("2", "segpipe_notebook", tmp_path)
    slurm.add("3", RUN.replace("segpipe_", "segpipe_b_"), tmp_path)
    assert [job.id for job in queued_jobs("segpipe")] == ["1"]
    assert [job.id for job in queued_jobs("segpipe_b")] == ["3"]
    assert [job.id for job in queued_jobs()] == ["1", "3"]
    assert not is_run_of("seg.ipe", RUN), "a prefix is no pattern"


def test_many_jobs_are_cancelled_in_several_calls_and_none_in_no_call(slurm, monkeypatch):
    monkeypatch.setattr(queue, "IDS_PER_CALL", 2)
    cancel([])  # `scancel --me` alone would cancel all that this user has
    assert slurm.calls("scancel") == []
    cancel(["1", "2", "3"])
    assert slurm.calls("scancel") == ["scancel --me 1 2", "scancel --me 3"]


def test_a_squeue_that_fails_is_quoted(slurm):
    slurm.replace(
        "squeue", "#!/bin/sh\necho >&2\necho 'slurm_load_jobs error: Unable to contact controller' >&2\nexit 1\n"
    )
    with pytest.raises(InputError, match=r"squeue failed \(exit code 1\): slurm_load_jobs error: Unable to contact"):
        queued_jobs()


def test_a_squeue_that_hangs_is_given_up(slurm, monkeypatch):
    monkeypatch.setattr(queue, "SECONDS", 0.2)
    slurm.replace("squeue", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(InputError, match="squeue did not answer"):
        queued_jobs()


def test_a_machine_without_slurm_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="squeue is not on the PATH: this machine belongs to no SLURM cluster"):
        queued_jobs()


def test_a_snakemake_lives_while_it_has_its_log_open_in_its_folder(run, holder, tmp_path):
    log = run.log()
    run.log(time="110000", run=OTHER)
    assert [call.run for call in snakemakes(run.path)] == [RUN, OTHER], "the last one first"
    holder(log, tmp_path)
    assert all(call.is_gone for call in snakemakes(run.path)), "a reader of the log elsewhere is no Snakemake"
    process = holder(log)
    assert [call.process for call in snakemakes(run.path)] == [process.pid, None]
    process.communicate("")
    assert all(call.is_gone for call in snakemakes(run.path))


def test_jobs_of_a_dead_snakemake_are_listed_and_nothing_is_cancelled(run, jobs):
    text = told()
    assert (
        f"{RUN}\n  1 pending, 1 running (preprocess 1, train 1), in {run.path}\n  its Snakemake is gone: orphans"
        in text
    )
    assert "--cancel cancels the orphans" in text
    assert jobs.left() == ["7", "8_1"]


def test_with_cancel_they_end_and_the_lock_is_explained(run, jobs):
    run.lock()
    text = told(cancel=True)
    assert "Cancelled 2 jobs." in text
    assert f"{run.path} is locked by a Snakemake that is gone" in text
    assert "`snakemake --unlock` there, with the same --configfile" in text
    assert jobs.left() == []
    assert jobs.calls("scancel") == ["scancel --me 7 8_1"]


def test_a_lock_is_told_of_also_when_no_job_is_left(run, slurm):
    run.lock()
    text = told()
    assert "No jobs of yours with the prefix segpipe are in SLURM's queue." in text
    assert "is locked by a Snakemake that is gone" in text


def test_jobs_of_a_snakemake_that_runs_are_never_cancelled(run, jobs, holder):
    run.lock()
    process = holder(next((run.path / ".snakemake/log").iterdir()))
    text = told(cancel=True, head_is_gone=True)
    assert f"its Snakemake runs here, process {process.pid}: no orphans" in text
    assert "Cancelled 0 jobs, left 2 alone." in text
    assert "is locked" not in text
    assert jobs.left() == ["7", "8_1"]


def test_a_second_snakemake_in_the_folder_does_not_own_the_jobs_of_the_first(run, jobs, holder):
    holder(run.log(time="235959", run=OTHER))
    assert "its Snakemake is gone: orphans" in told()


@pytest.mark.parametrize(("host", "said"), [("login7", "was started on login7"), (None, "left no log in that folder")])
def test_a_snakemake_that_cannot_be_seen_is_not_taken_for_dead(run, slurm, host, said):
    slurm.add("7", RUN, run.path)
    if host:
        run.log(host=host)
    text = told(cancel=True)
    assert f"its Snakemake {said}, and cannot be seen from here" in text
    assert "Cancelled 0 jobs, left 1 alone." in text
    assert slurm.left() == ["7"]
    assert "Cancelled 1 jobs." in told(cancel=True, head_is_gone=True)
    assert slurm.left() == []


def test_other_prefixes_and_other_jobs_are_left_alone(run, jobs):
    jobs.add("9", "segpipe_notebook", run.path)
    jobs.add("10", RUN.replace("segpipe_", "lungs_"), run.path)
    told(cancel=True)
    assert jobs.left() == ["9", "10"]
    assert [each.name for each in find_runs("lungs")] == [RUN.replace("segpipe_", "lungs_")]


def test_a_config_names_its_own_run_among_several_in_a_folder(run, jobs, tmp_path):
    run.log(run=OTHER, results="results/tiny2", time="110000")
    jobs.add("11", OTHER, run.path)
    jobs.add("12", RUN.replace("3dac", "5dac"), tmp_path)
    assert [each.name for each in find_runs("segpipe", run.config)] == [RUN]
    assert len(find_runs("segpipe")) == 3
    told(config=run.config, cancel=True)
    assert jobs.left() == ["11", "12"]


def test_a_prefix_that_snakemake_would_refuse_is_refused(slurm):
    with pytest.raises(ConfigError, match=r"--prefix 'a b': letters, digits, _ and - only"):
        find_runs("a b")
