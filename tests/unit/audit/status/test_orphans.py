import pytest

from segpipe.audit.status import queue as orphans
from segpipe.audit.status.queue import find_runs, report
from segpipe.audit.status.snakemake import Head
from segpipe.errors import ConfigError
from tests.unit.audit.status.conftest import RUN

OTHER = RUN.replace("3dac", "4dac")
OUTPUT = "results/tiny/shards/0000/images.npy"


def told(*arguments, config=None, cancel=False, head_is_gone=False):
    return "\n".join(report(*(arguments or ["segpipe"]), config, cancel, head_is_gone))


@pytest.fixture
def jobs(run, slurm):
    """Two jobs of a run whose Snakemake is gone."""
    run.log()
    slurm.add("7", RUN, run.path)
    slurm.add("8_1", RUN, run.path, state="PENDING", reason="Priority", comment="rule_train_wildcards_fold0")
    return slurm


def test_jobs_of_a_dead_snakemake_are_listed_and_nothing_is_cancelled(run, jobs):
    text = told()
    assert (
        f"{RUN}\n  1 pending, 1 running (preprocess 1, train 1), in {run.path}\n  its Snakemake is gone: orphans"
        in text
    )
    assert "--cancel cancels the orphans" in text
    assert jobs.left() == ["7", "8_1"]


def test_with_cancel_they_end_and_the_lock_is_explained(run, jobs):
    run.lock(OUTPUT)
    text = told(cancel=True)
    assert "Cancelled 2 jobs." in text
    assert f"{run.path} is locked by a Snakemake that is gone" in text
    assert "`snakemake --unlock` there, with the same --configfile" in text
    assert jobs.left() == []
    assert jobs.calls("scancel") == ["scancel --me 7 8_1"]


def test_a_lock_is_told_of_also_when_no_job_is_left(run, slurm):
    run.lock(OUTPUT)
    text = told()
    assert "No jobs of yours with the prefix segpipe are in SLURM's queue." in text
    assert "is locked by a Snakemake that is gone" in text


def test_jobs_of_a_snakemake_that_runs_are_never_cancelled(run, jobs, monkeypatch):
    run.lock(OUTPUT)
    log = next((run.path / ".snakemake/log").iterdir())
    monkeypatch.setattr(orphans, "running_heads", lambda _: [Head(4711, run.path, 0.0, frozenset({log}))])
    text = told(cancel=True, head_is_gone=True)
    assert "its Snakemake runs here, process 4711: no orphans" in text
    assert "Cancelled 0 jobs, left 2 alone." in text
    assert "is locked" not in text
    assert jobs.left() == ["7", "8_1"]


def test_a_second_snakemake_in_the_folder_does_not_own_the_jobs_of_the_first(run, jobs, monkeypatch):
    monkeypatch.setattr(orphans, "running_heads", lambda _: [Head(4711, run.path, 0.0, frozenset({run.path / "x"}))])
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
    run.mark(OUTPUT, "7")
    jobs.add("11", OTHER, run.path)
    jobs.add("12", RUN.replace("3dac", "5dac"), tmp_path)
    run.mark("results/other/report.csv", "11")
    assert [each.name for each in find_runs("segpipe", run.config)] == [RUN]
    assert len(find_runs("segpipe")) == 3
    told(config=run.config, cancel=True)
    assert jobs.left() == ["11", "12"]


def test_a_prefix_that_snakemake_would_refuse_is_refused(slurm):
    with pytest.raises(ConfigError, match=r"--prefix 'a b': letters, digits, _ and - only"):
        find_runs("a b")
