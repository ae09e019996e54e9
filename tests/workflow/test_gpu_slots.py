"""Jobs of Snakemake on a machine with two GPUs, which are a script called nvidia-smi."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

NVIDIA_SMI = """#!/bin/sh
echo 'GPU 0: NVIDIA H200 (UUID: GPU-aaaaaaaa-1111-2222-3333-444455556666)'
echo 'GPU 1: NVIDIA H200 (UUID: GPU-bbbbbbbb-1111-2222-3333-444455556666)'
"""
SNAKEFILE = """
rule all:
    input:
        expand("{job}.done", job=range(3)),

rule train:
    output:
        "{job}.done",
    resources:
        gpu=1,
    shell:
        "{PYTHON:q} train.py {wildcards.job} && touch {output}"
"""
# In place of a training. The first two stay until both have their devices.
JOB = """
import os, sys, time
from pathlib import Path
from segpipe.pool.gpus import take_gpus

def note(what):
    with open("events", "a") as file:
        file.write(f"{what} {os.environ['CUDA_VISIBLE_DEVICES']}\\n")

take_gpus("cuda")
note("take")
end = time.monotonic() + 120
while Path("events").read_text().count("take") < 2 and time.monotonic() < end:
    time.sleep(0.01)
note("give")
"""


@pytest.mark.parametrize("allowed", [2, 3])
def test_three_trainings_on_two_gpus_never_share_one(tmp_path, allowed):
    """With gpu=3 Snakemake starts all three at once, and the slots keep them apart."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    (tmp_path / "Snakefile").write_text(f"PYTHON = {sys.executable!r}\n{SNAKEFILE}")
    (tmp_path / "train.py").write_text(JOB)
    hidden = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "LOCAL_RANK")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {
        "PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / ".cache"),
    }
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    command = [
        snakemake,
        "--cores",
        "3",
        "--resources",
        f"gpu={allowed}",
        "--default-resources",
        f"tmpdir='{tmp_path}'",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    events = [line.split() for line in (tmp_path / "events").read_text().splitlines()]
    devices = {device for _, device in events}
    assert {device[:5] for device in devices} == {"GPU-a", "GPU-b"}
    for device in devices:
        of_device = [what for what, whose in events if whose == device]
        assert of_device[0] == "take"
        assert all(first != second for first, second in pairwise(of_device)), "two jobs on one device"
    assert len(events) == 6
