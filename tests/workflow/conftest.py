import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shared import made_once

PROJECT = Path(__file__).resolve().parents[2]

RULES = ("preprocess", "dataset", "train", "predict", "score", "report", "check", "compare")

# As small as a run can be and still go through every rule.
TINY = {
    "name": "tiny",
    "classes": {"lung": None, "heart": None},
    "data": {
        "root": "data",
        "images": ["images/{patient}_{view}.dcm", "images/{patient}_{view}.png"],
        "masks": {name: f"masks/{name}/{{patient}}_{{view}}.png" for name in ("lung", "heart")},
        "shards": 2,
        "tolerate": 0.2,
    },
    "preprocess": {"size": 64},
    "folds": {"k": 2, "val_fraction": 0.2},
    "model": {"network": "unet", "options": {"channels": [4, 8, 16], "num_res_units": 0}},
    "train": {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "threads": 1, "preview_every": 3},
    "predict": {},
}


@dataclass
class Run:
    """A folder with data in which Snakemake runs, as a user would run it."""

    folder: Path

    def snakemake(
        self, config: dict[str, Any], *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        path = self.folder / f"{config['name']}.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        done = subprocess.run(
            self.command(path, *arguments),
            cwd=PROJECT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def command(self, config: Path, *arguments: str) -> list[str]:
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        return [snakemake, "--directory", str(self.folder), "--configfile", str(config), *arguments]

    def environment(self) -> dict[str, str]:
        # Snakemake keeps a cache of sources in the home folder; tests leave the user's alone.
        return {**os.environ, "XDG_CACHE_HOME": str(self.folder / ".cache"), "COLUMNS": "200"}

    def jobs(self, config: dict[str, Any]) -> dict[str, int]:
        """What a dry run says it would do: number of jobs by rule."""
        return jobs_of(self.snakemake(config, "--cores", "1", "-n", "--quiet", "host").stdout)

    def results(self, config: dict[str, Any]) -> Path:
        return self.folder / "results" / config["name"]


def jobs_of(output: str) -> dict[str, int]:
    """Number of jobs by rule, from the table that Snakemake begins with."""
    counts: dict[str, int] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit() and words[0] in RULES:
            counts[words[0]] = int(words[1])
    return counts


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """The folder that holds the data of all runs; they have copies."""

    def make(folder: Path) -> None:
        segpipe = str(Path(sys.executable).with_name("segpipe"))
        subprocess.run([segpipe, "phantom", str(folder / "data"), "--count", "16", "--seed", "1"], check=True)

    return made_once(tmp_path_factory, "phantoms", make)


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory) -> Run:
    """A folder with data, for the tests of one file."""
    return Run(shutil.copytree(phantoms, tmp_path_factory.mktemp("run"), dirs_exist_ok=True))


@pytest.fixture(scope="module")
def finished(run: Run, phantoms: Path, tmp_path_factory) -> Run:
    """The tiny config, run once from nothing: for the tests of one file a copy, with Snakemake's memory of it."""

    def make(folder: Path) -> None:
        shutil.copytree(phantoms, folder, dirs_exist_ok=True)
        Run(folder).snakemake(TINY, "--cores", "2")

    shutil.copytree(made_once(tmp_path_factory, "finished", make), run.folder, dirs_exist_ok=True)
    return run
