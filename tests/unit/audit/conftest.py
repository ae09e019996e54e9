import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from segpipe.config.load import parse_config
from segpipe.samples.scan import scan
from tests.unit.audit.fake_slurm import FakeSlurm

RUN = "segpipe_3dac500b-9b65-44b0-bb59-bc53082f0301"
LOG = """\
Assuming unrestricted shared filesystem usage.

SNAKEMAKE
=========
  Date: 2026-11-26 20:55:25
  Host: {host}
  User: someone

Building DAG of jobs...
SLURM run ID: {run}
rule preprocess:
    input: {results}/samples/0000.csv
Finished jobid: 2 (Rule: preprocess)
1 of 12 steps (8%) done
"""


@dataclass
class RunFolder:
    """A folder in which a run of four images in two shards was scanned; the files of jobs are put there by hand."""

    path: Path

    def __post_init__(self):
        for number in range(4):
            image = self.path / f"data/images/p{number}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.touch()
            mask = self.path / f"data/masks/p{number}.png"
            mask.parent.mkdir(exist_ok=True)
            mask.touch()
        self.config = self.with_settings()
        scan(self.config)

    def with_settings(self, **settings):
        data = {"root": "data", "images": "images/{patient}.png", "masks": "masks/{patient}.png", "shards": 2}
        return parse_config({"name": "tiny", "classes": {"lung": None}, "data": data, "folds": {"k": 2}, **settings})

    def write(self, name, text=""):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def finish(self, job):
        """The output of a job, empty."""
        self.write(f"results/tiny/{job.output}")

    def lock(self):
        self.write(".snakemake/locks/0.output.lock", "results/tiny/report.csv\n")

    def log(self, host=None, run=RUN, results="results/tiny", time="205525"):
        """As a call of Snakemake that sends jobs to SLURM, or none."""
        text = LOG.format(host=host or socket.gethostname(), run=run, results=results)
        text = text if run else text.replace("SLURM run ID: \n", "")
        return self.write(f".snakemake/log/2026-11-26T{time}.087404.snakemake.log", text)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """In the folder of a run, whose path no link is part of."""
    folder = tmp_path.resolve() / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return RunFolder(folder)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """squeue and scancel that know the jobs in a file."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    return fake
