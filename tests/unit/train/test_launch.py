"""How several processes are started, stopped, and put into SLURM's queue again; with stand-ins for its commands."""

import itertools
import os
import signal
import sys
import threading

import pytest
from torch.distributed.run import parse_args

from segpipe.errors import ConfigError, ExitCode, InterruptedRun, SegpipeError
from segpipe.train import distributed as module
from segpipe.train.distributed import command, go_on_later, is_launcher, launch

SAVED = InterruptedRun("saved", ExitCode.SAVED)


@pytest.fixture(autouse=True)
def slurm(monkeypatch, tmp_path):
    """Commands of SLURM that write down how they were called; squeue says what is in `state`, `fail` makes all fail."""
    for name in ("RANK", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "state").write_text("RUNNING\n")
    fail = f"[ ! -e {tmp_path}/fail ] || {{ echo no >&2; exit 1; }}"
    for name, work in (("scontrol", "true"), ("scancel", "true"), ("squeue", f"cat {tmp_path}/state")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n{fail}\n{work}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def said(monkeypatch, caplog):
    monkeypatch.setattr(module.logger, "propagate", True)
    caplog.set_level("INFO", logger="segpipe")
    return caplog


def calls(folder):
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(("gpus", "nodes", "launches"), [(0, 1, False), (1, 1, False), (2, 1, True), (0, 2, True)])
def test_one_process_trains_by_itself(gpus, nodes, launches, monkeypatch):
    assert is_launcher(gpus, nodes) == launches
    monkeypatch.setenv("RANK", "0")
    assert not is_launcher(gpus, nodes), "one that torchrun started"


def test_several_gpus_of_one_machine_need_no_srun():
    words = command(4, 1, ["train", "--log", "x.log"])
    assert words[:3] == [sys.executable, "-m", "torch.distributed.run"]
    understood = parse_args(words[3:])
    assert (understood.nproc_per_node, understood.standalone, understood.module) == ("4", True, True)
    assert understood.training_script == "segpipe"
    assert understood.training_script_args == ["train", "--log", "x.log"], "torchrun has options that begin so"


def test_several_nodes_get_a_launcher_each_that_meet_at_the_first(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    words = command(8, 2, ["train"])
    assert words[:5] == ["srun", "--nodes", "2", "--ntasks", "2"]
    values = dict(itertools.pairwise(words))
    assert values["--ntasks-per-node"] == "1"
    assert (values["--gpus-per-node"], values["--nproc-per-node"], values["--nnodes"]) == ("4", "4", "2")
    assert values["--rdzv-id"] == "17"
    host, port = values["--rdzv-endpoint"].rsplit(":", 1)
    assert host
    assert int(port) > 1023


def test_nodes_without_gpus_get_one_process_each():
    words = command(0, 3, ["train"])
    assert words[words.index("--nproc-per-node") + 1] == "1"
    assert "--gpus-per-node" not in words


def test_gpus_that_cannot_be_shared_out_are_an_error_that_says_what_to_set():
    with pytest.raises(ConfigError, match=r"3 GPUs on 2 nodes.*multiple of nodes"):
        command(3, 2, [])


def test_a_process_that_fails_fails_all(monkeypatch):
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(3)", "segpipe", "train"])
    with pytest.raises(SegpipeError, match=r"2 processes failed \(exit code 3\)"):
        launch(2, 1, [])


@pytest.mark.parametrize("nodes", [1, 2])
def test_who_asks_the_launcher_to_stop_asks_all(nodes, monkeypatch, slurm):
    """On several nodes SLURM hands the signal out: srun would kill."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    started = slurm / "started"
    program = (
        "import pathlib, signal, sys, time\n"
        f"note = pathlib.Path({str(started)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (note.write_text('stopped'), sys.exit(1)))\n"
        "note.write_text('started')\n"
        f"while {nodes} == 1 or not pathlib.Path({str(slurm / 'calls')!r}).exists(): time.sleep(0.05)\n"
    )
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", program, "segpipe", "train"])

    def stop(*_):
        raise InterruptedRun("stopped", ExitCode.SAVED)

    before = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=ask_when_started, args=(started,))
    thread.start()
    try:
        with pytest.raises(InterruptedRun):
            launch(2, nodes, [])
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert calls(slurm) == ([] if nodes == 1 else ["scancel --signal=TERM 17"])
    assert started.read_text() == ("stopped" if nodes == 1 else "started")


def ask_when_started(path):
    while not path.exists() or path.read_text() != "started":
        pass
    os.kill(os.getpid(), signal.SIGUSR1)


def test_a_saved_training_goes_back_into_the_queue(monkeypatch, slurm):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    go_on_later(SAVED)
    assert calls(slurm) == ["squeue --noheader --jobs 17 --format %T", "scontrol requeue 17"]


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", "PENDING", ""])
def test_a_training_that_was_cancelled_or_requeued_by_others_does_not(state, monkeypatch, slurm, said):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (slurm / "state").write_text(state)
    go_on_later(SAVED)
    assert len(calls(slurm)) == 1
    assert f"not put into the queue again: it is {state}" in said.text


def test_outside_of_slurm_and_after_ctrl_c_nothing_is_queued(monkeypatch, slurm):
    go_on_later(SAVED)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    go_on_later(InterruptedRun("stopped", ExitCode.INTERRUPTED))
    assert calls(slurm) == []


@pytest.mark.parametrize("missing", [False, True])
def test_a_refusal_is_told_and_left_to_snakemake(missing, monkeypatch, slurm, said):
    """Also that there is no SLURM, as in a container without its commands."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (slurm / "fail").touch()
    if missing:
        monkeypatch.setenv("PATH", "")
    go_on_later(SAVED)
    assert "squeue of SLURM job 17 failed" in said.text
    assert "in the queue again" not in said.text
