import pytest

from segpipe.audit.status import queue
from segpipe.audit.status.queue import cancel, is_run_of, queued_jobs
from segpipe.errors import InputError
from tests.unit.audit.status.conftest import RUN


def test_jobs_are_read_with_their_run_folder_and_rule(slurm, tmp_path):
    slurm.add("12", RUN, tmp_path)
    slurm.add("13_4", RUN, tmp_path, state="PENDING", reason="Priority", comment="rule_score_wildcards_repeats_1__0003")
    first, second = queued_jobs()
    assert (first.id, first.rule, first.is_pending, first.folder) == ("12", "preprocess", False, str(tmp_path))
    assert (second.id, second.rule, second.is_pending, second.reason) == ("13_4", "score", True, "Priority")


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
    assert not queue.has_slurm()
    with pytest.raises(InputError, match="squeue is not on the PATH: this machine belongs to no SLURM cluster"):
        queued_jobs()
