import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.audit.status import overview
from segpipe.audit.status.overview import disk_use, jobs_of, look
from segpipe.audit.status.snakemake import Head
from segpipe.audit.status.text import as_json, as_text
from segpipe.errors import InputError
from tests.unit.audit.status.conftest import RUN

STORE = "results/tiny/shards/0001"
EPOCH = "2026-11-26 20:54:47,774 INFO fold0 epoch 12/75: loss 1.4, val MIoU 0.9301 (best 0.9312 in epoch 11), 16.7 images/s, about 340 s left\n"  # noqa: E501


def text_of(run, most_failed=5):
    return as_text(look(run.config, None), most_failed, lambda text, _: text)


@pytest.fixture
def head(monkeypatch, run):
    """A Snakemake that works in this folder."""
    monkeypatch.setattr(overview, "running_heads", lambda _: [Head(4711, run.path, 0.0, frozenset())])


def test_a_run_that_was_scanned_only_waits(run):
    text = text_of(run)
    assert "tiny: 4 images in 2 shards, results/tiny\nNo Snakemake works on it here." in text
    assert [line.split() for line in text.splitlines() if line.startswith(("rule", "train", "check"))] == [
        ["rule", "waiting", "running", "done", "failed", "of"],
        ["train", "2", "2"],
        ["check", "1", "1"],
    ]


def test_before_the_scan_it_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="start the run with snakemake"):
        look(run.config, None)


def test_a_local_run_shows_who_runs_it_and_how_far_models_are(run, head):
    run.lock("results/tiny/report.csv")
    run.log()
    run.mark("results/tiny/models/fold0/model.json")
    run.write("results/tiny/logs/train/fold0.log", EPOCH)
    text = text_of(run)
    assert "Snakemake runs here since 19" in text
    assert "process 4711" in text
    assert ".snakemake.log, 1 of 12 steps" in text
    models = (
        "Models\n  fold0  running      epoch 12/75, val MIoU 0.9301, best val MIoU 0.9312 in epoch 11, about 340 s left"
    )
    assert models in text
    assert "unlock" not in text


def test_failed_jobs_come_with_the_end_of_their_logs(run, slurm):
    run.write("results/tiny/logs/preprocess/0001.log", "1 INFO fine\n2 ERROR disk full: /scratch\n")
    run.write(
        ".snakemake/slurm_logs/rule_preprocess/0001/7.log",
        "    log: results/tiny/logs/preprocess/0001.log\nslurmstepd: killed\n",
    )
    run.write("results/tiny/logs/preprocess/0000.log", "1 INFO and then nothing\n")
    text = text_of(run)
    assert "failed: preprocess 0001\n  results/tiny/logs/preprocess/0001.log\n    2 ERROR disk full: /scratch\n" in text
    assert "  .snakemake/slurm_logs/rule_preprocess/0001/7.log\n" in text
    assert "    slurmstepd: killed" in text
    assert "Mend what the logs say" in text
    assert "and 1 more (--failed 2 shows all)" in text_of(run, most_failed=1)


def test_jobs_that_were_only_interrupted_need_no_mending(run):
    run.mark(f"{STORE}/images.npy")
    text = text_of(run)
    assert "interrupted: preprocess 0001\n  no log: it had not begun" in text
    assert "\n\nStart Snakemake again: finished jobs stay." in text


def test_slurm_jobs_are_counted_with_the_reasons_of_those_that_wait(run, slurm, head):
    run.lock("results/tiny/report.csv")
    run.mark(f"{STORE}/images.npy", "7")
    run.mark("results/tiny/shards/0000/images.npy", "8_2")
    slurm.add("7", RUN, run.path)
    slurm.add("8_2", RUN, run.path, state="PENDING", reason="QOSMaxJobsPerUserLimit")
    slurm.add("9", RUN.replace("3dac", "4dac"), run.path)  # of another run
    text = text_of(run)
    assert "SLURM: 1 pending, 1 running\n  1 wait: QOSMaxJobsPerUserLimit" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("rule", "preprocess"))}
    assert rows["rule"] == ["waiting", "queued", "running", "done", "failed", "of"]
    assert rows["preprocess"] == ["1", "1", "2"]


def test_squeue_is_not_asked_about_a_local_run(run, slurm, head):
    run.lock("results/tiny/report.csv")
    run.mark(f"{STORE}/images.npy")
    text_of(run)
    assert slurm.calls("squeue") == []


def test_a_squeue_that_fails_is_said_and_its_jobs_are_called_started(run, slurm):
    run.mark(f"{STORE}/images.npy", "7")
    slurm.replace("squeue", "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    text = text_of(run)
    assert "SLURM: squeue failed (exit code 1): Unable to contact slurm controller" in text
    assert "started" in text


def test_jobs_of_an_executor_that_cannot_be_asked_are_called_started(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    run.mark(f"{STORE}/images.npy", "pod-17")
    assert "squeue is not on the PATH: what an executor has, cannot be seen from here" in text_of(run)


def test_the_lock_of_a_snakemake_that_is_gone_is_explained(run, slurm):
    run.lock("results/tiny/report.csv")
    run.log()
    run.mark(f"{STORE}/images.npy", "7")
    assert "is gone, and its lock is still there.\nBefore the next call: `snakemake --unlock`" in text_of(run)
    slurm.add("7", RUN, run.path)
    text = text_of(run)
    assert "Its 1 SLURM jobs go on without it" in text
    assert "Then, before the next call: `snakemake --unlock`, with the same --configfile" in text


def test_a_snakemake_of_another_machine_is_not_called_dead(run):
    run.lock("results/tiny/report.csv")
    run.log(host="login7")
    run.mark(f"{STORE}/images.npy")
    text = text_of(run)
    assert "Snakemake was started on login7, and may still run there: look there first." in text
    assert "is gone" not in text
    assert "started" in text


def test_the_lock_of_another_run_in_this_folder_is_none_of_this_ones(run):
    run.lock("results/tiny2/report.csv")
    assert "lock" not in text_of(run)


def test_a_finished_run_says_so(run):
    for job in jobs_of(run.config, ["0000", "0001"]):
        run.finish(job)
    run.write("results/tiny/models/fold1/history.csv", "epoch,learning_rate,loss,val_miou\n1,0.1,1,0.5\n2,0.1,1,0.75\n")
    text = text_of(run)
    assert "All outputs are there; `snakemake -n` tells whether something changed since." in text
    assert "fold1  done         epoch 2/2, val MIoU 0.7500, best val MIoU 0.7500 in epoch 2" in text


def test_json_has_the_same(run):
    run.write("results/tiny/logs/preprocess/0001.log", "2 ERROR disk full\n")
    found = json.loads(as_json(look(run.config, None), 5))
    assert found["rules"]["preprocess"] == dict.fromkeys(found["rules"]["preprocess"], 0) | {"failed": 1, "waiting": 1}
    (undone,) = found["undone"]
    assert (undone["rule"], undone["name"], undone["state"]) == ("preprocess", "0001", "failed")
    assert undone["logs"] == {"results/tiny/logs/preprocess/0001.log": ["2 ERROR disk full"]}
    assert found["models"] == [{"name": "fold0", "state": "waiting"}, {"name": "fold1", "state": "waiting"}]


def test_the_count_of_files_stops_where_there_are_many(run):
    for number in range(10):
        run.write(f"results/tiny/masks/{number}.png", "1234")
    whole = disk_use(Path("results/tiny"), None)
    assert (whole.folders["masks"], whole.whole) == (40, True)
    part = disk_use(Path("results/tiny"), 5)
    assert not part.whole
    assert sum(part.folders.values()) < sum(whole.folders.values())
    assert "or more: not all files were counted, --disk counts them" in as_text(look(run.config, 5), 5, lambda t, _: t)


def test_the_verb_prints_plain_text_and_no_colours_where_there_is_no_terminal(run):
    data = {"root": "data", "images": "images/{patient}.png", "masks": "masks/{patient}.png", "shards": 2}
    config = {"name": "tiny", "classes": {"lung": None}, "data": data}
    (run.path / "tiny.yaml").write_text(json.dumps(config))
    run.write("results/tiny/logs/check.log", "1 ERROR too many\n")
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run([segpipe, "status", "tiny.yaml"], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    assert "\033" not in done.stdout
    assert "failed: check" in done.stdout
    done = subprocess.run([segpipe, "status", "tiny.yaml", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["snakemake"]["host"] is None
    assert socket.gethostname() not in done.stdout
