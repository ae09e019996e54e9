"""What `segpipe status` says of a run, from its results, logs and SLURM's queue."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.audit import slurm as queue
from segpipe.audit.status import (
    Progress,
    as_json,
    as_text,
    disk_use,
    jobs_of,
    last_lines,
    look,
    progress_in_history,
    progress_in_log,
    tail,
)
from segpipe.errors import InputError
from tests.unit.audit.conftest import RUN

EPOCH = (
    "2026-11-26 20:54:47,774 INFO fold0 epoch {}/75: loss 1.4611, val MIoU {} (best {} in epoch {}), "
    "16.7 images/s, about 340 s left\n"
)


def text_of(run, most_failed=5):
    return as_text(look(run.config, most_failed))


def row_of(text, rule):
    return next(line.split() for line in text.splitlines() if line.startswith(rule))


@pytest.fixture
def head(monkeypatch, run):
    """A Snakemake that works in this folder, whatever logs are there."""
    monkeypatch.setattr(queue, "writers", lambda _: dict.fromkeys((run.path / ".snakemake/log").iterdir(), 4711))


def test_a_run_that_was_scanned_only_waits(run):
    text = text_of(run)
    assert "tiny: 4 images in 2 shards, results/tiny\nSnakemake never worked on it here\n" in text
    assert row_of(text, "rule") == ["rule", "waiting", "started", "failed", "done", "of"]
    assert row_of(text, "train") == ["train", "2", "2"]
    assert row_of(text, "check") == ["check", "1", "1"]


def test_before_the_scan_it_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="start the run with snakemake"):
        look(run.config)


def test_a_local_run_shows_who_runs_it_and_how_far_models_are(run, slurm, head):
    run.log(run="")
    run.write("results/tiny/logs/train/fold0.log", EPOCH.format(12, "0.9301", "0.9312", 11))
    text = text_of(run)
    assert "Snakemake runs here, process 4711: .snakemake/log/2026-11-26T205525.087404.snakemake.log, 1 of 12" in text
    assert (
        "Models\n  fold0  started   epoch 12/75, val MIoU 0.9301, best val MIoU 0.9312 in epoch 11, about 340 s left"
        in text
    )
    assert row_of(text, "train") == ["train", "1", "1", "2"]
    assert slurm.calls("squeue") == [], "nothing was sent to SLURM"


def test_failed_jobs_come_with_the_end_of_their_logs(run, slurm, head):
    run.log()
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO fine\n2 ERROR disk full: /scratch\n")
    run.write(
        ".snakemake/slurm_logs/rule_preprocess/0001/7.log",
        "    log: results/tiny/logs/preprocess/0001.log\nslurmstepd: killed\n",
    )
    run.write("results/tiny/logs/preprocess/0000.log", "1 ERROR another\n")
    text = text_of(run)
    assert "failed: preprocess 0001\n  results/tiny/logs/preprocess/0001.log\n    2 ERROR disk full: /scratch\n" in text
    assert "  .snakemake/slurm_logs/rule_preprocess/0001/7.log\n" in text
    assert "    slurmstepd: killed" in text
    assert "and 1 more (--failed 2 shows all)" in text_of(run, most_failed=1)


def test_a_job_without_an_error_has_started_while_somebody_may_work_on_it(run, head):
    log = run.log(run="")
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO and then nothing\n")
    assert row_of(text_of(run), "preprocess") == ["preprocess", "1", "1", "2"]
    log.write_text(log.read_text().replace(socket.gethostname(), "login7"))
    assert "started" in text_of(run)


def test_a_second_call_that_ended_at_once_does_not_hide_the_one_that_runs(run, monkeypatch):
    log = run.log(run="")
    run.log(run="", time="235959")
    monkeypatch.setattr(queue, "writers", lambda _: {log: 4711})
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO fine\n")
    text = text_of(run)
    assert "Snakemake runs here, process 4711" in text
    assert row_of(text, "preprocess") == ["preprocess", "1", "1", "2"]


def test_a_job_that_nobody_works_on_any_more_has_failed(run):
    run.log(run="")
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO and then nothing\n")
    text = text_of(run)
    assert "failed: preprocess 0001" in text
    assert "    1 INFO and then nothing" in text
    assert "\n\nFix what the logs say, then start Snakemake again: finished jobs stay." in text


def test_a_job_that_slurm_ended_before_it_began_has_failed_with_slurms_log(run, slurm):
    run.log()
    run.write(".snakemake/slurm_logs/group_g/9.log", "x --log results/tiny/logs/score/0000.log\nslurmstepd: killed\n")
    text = text_of(run)
    assert "failed: score 0000\n  .snakemake/slurm_logs/group_g/9.log" in text


def test_slurm_jobs_are_counted_with_the_reasons_of_those_that_wait(run, slurm, head):
    run.log()
    slurm.add("7", RUN, run.path)
    slurm.add("8_2", RUN, run.path, state="PENDING", reason="QOSMaxJobsPerUserLimit")
    slurm.add("9", RUN.replace("3dac", "4dac"), run.path)  # of another run
    text = text_of(run)
    assert "SLURM: 1 pending, 1 running (preprocess 2)\n  waiting for: QOSMaxJobsPerUserLimit" in text


def test_a_squeue_that_fails_is_said_and_its_jobs_are_not_taken_for_dead(run, slurm):
    run.log()
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO fine\n")
    slurm.replace("squeue", "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    text = text_of(run)
    assert "SLURM: squeue failed (exit code 1): Unable to contact slurm controller" in text
    assert row_of(text, "preprocess") == ["preprocess", "1", "1", "2"]


def test_jobs_that_go_on_without_their_snakemake_are_explained(run, slurm):
    run.log()
    slurm.add("7", RUN, run.path)
    run.write("results/tiny/logs/preprocess/0000.log", "1 INFO fine\n")
    text = text_of(run)
    assert "Snakemake is gone: .snakemake/log" in text
    assert "Its 1 SLURM jobs go on without it" in text
    assert row_of(text, "preprocess") == ["preprocess", "1", "1", "2"]


def test_a_snakemake_of_another_machine_is_not_called_dead(run):
    run.log(host="login7", run="")
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO fine\n")
    text = text_of(run)
    assert "Snakemake was started on login7, and cannot be seen from here" in text
    assert row_of(text, "preprocess") == ["preprocess", "1", "1", "2"]


def test_the_snakemake_of_another_run_in_this_folder_is_not_this_ones(run, head):
    run.log(results="results/tiny2")
    assert "Snakemake never worked on it here" in text_of(run)


def test_a_finished_run_says_so(run):
    for job in jobs_of(run.config, ["0000", "0001"]):
        run.finish(job)
    run.write("results/tiny/models/fold1/history.csv", "epoch,learning_rate,loss,val_miou\n1,0.1,1,0.5\n2,0.1,1,0.75\n")
    text = text_of(run)
    assert "All outputs are there; `snakemake -n` tells whether something changed since." in text
    assert "fold1  done      epoch 2/2, val MIoU 0.7500, best val MIoU 0.7500 in epoch 2" in text


def test_json_has_the_same(run):
    run.write("results/tiny/logs/preprocess/0001.log", "2 ERROR disk full\n")
    found = json.loads(as_json(look(run.config)))
    assert found["jobs"]["preprocess"] == {"waiting": 1, "started": 0, "failed": 1, "done": 0}
    logs = {"results/tiny/logs/preprocess/0001.log": ["2 ERROR disk full"]}
    assert found["failed"] == [{"rule": "preprocess", "name": "0001", "logs": logs}]
    assert found["models"] == [{"name": f"fold{fold}", "state": "waiting", "progress": None} for fold in range(2)]


def test_the_results_are_measured_when_asked_for(run):
    for number in range(10):
        run.write(f"results/tiny/masks/a/{number}.png", "1234")
    assert disk_use(Path("results/tiny"))["masks"] == 40
    assert look(run.config).disk == {}
    run.write("results/tiny/masks/b.png", "x" * 200_000)
    assert "(masks 200.0 KB), free" in as_text(look(run.config, measure=True))


def test_the_verb_prints_text_or_json(run):
    data = {"root": "data", "images": "images/{patient}.png", "masks": "masks/{patient}.png", "shards": 2}
    config = {"name": "tiny", "classes": {"lung": None}, "data": data, "folds": {"k": 2}}
    (run.path / "tiny.yaml").write_text(json.dumps(config))
    run.write("results/tiny/logs/check.log", "1 ERROR too many\n")
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    done = subprocess.run([segpipe, "status", "tiny.yaml"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "failed: check" in done.stdout
    done = subprocess.run([segpipe, "status", "tiny.yaml", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["process"] is None
    assert socket.gethostname() not in done.stdout


def test_last_lines_begin_with_the_last_error(tmp_path):
    log = tmp_path / "log"
    log.write_text("1 INFO a\n2 ERROR first\n3 INFO b\n\n4 ERROR results/x is wrong:\n  detail\n")
    assert last_lines(log) == ["4 ERROR results/x is wrong:", "  detail"]
    log.write_text("".join(f"{number} INFO line\n" for number in range(20)))
    assert last_lines(log) == [f"{number} INFO line" for number in range(14, 20)]
    assert last_lines(tmp_path / "missing") == []


def test_the_end_of_a_long_file_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 25) == "line 998\nline 999\n"
    assert tail(tmp_path / "missing") == ""


def test_the_last_epoch_of_the_log_counts(tmp_path):
    log = tmp_path / "fold0.log"
    log.write_text(EPOCH.format(11, "0.9312", "0.9312", 11) + EPOCH.format(12, "0.9301", "0.9312", 11) + "something\n")
    assert progress_in_log(log) == Progress(12, 75, 0.9301, 0.9312, 11, 340)


@pytest.mark.parametrize("text", ["", "2026-11-26 20:54:47,035 INFO fold0: 7 images to train\n"])
def test_before_the_first_epoch_there_is_no_progress(tmp_path, text):
    (tmp_path / "log").write_text(text)
    assert progress_in_log(tmp_path / "log") is None
    assert progress_in_log(tmp_path / "missing") is None


def test_the_loops_own_line_is_understood(prepared, tmp_path, caplog):
    """By a training, so that a new wording there is noticed here."""
    import logging

    from segpipe.train.stage import train_model
    from tests.unit.prepared import stage

    with caplog.at_level(logging.INFO, "segpipe"):
        train_model(
            stage("train", epochs=2), prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path / "fold0"
        )
    (tmp_path / "log").write_text("\n".join(caplog.messages))
    said, kept = progress_in_log(tmp_path / "log"), progress_in_history(tmp_path / "fold0/history.csv")
    assert (said.epoch, said.epochs, kept.epoch) == (2, 2, 2)
    assert (said.best_epoch, round(said.best, 3)) == (kept.best_epoch, round(kept.best, 3))


def test_a_history_gives_the_best_epoch_also_where_some_were_not_validated(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,learning_rate,loss,val_miou\n1,0.1,1.0,\n2,0.1,0.9,0.95\n3,0.1,0.8,\n4,0.1,0.7,0.93\n5,0.1,0.6,\n"
    )
    assert progress_in_history(history) == Progress(5, 5, 0.93, 0.95, 2)
    history.write_text("epoch,loss\n1,2\n")
    assert progress_in_history(history) is None
    assert progress_in_history(tmp_path / "missing") is None
