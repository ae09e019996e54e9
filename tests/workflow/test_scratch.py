"""How a profile, or the environment, sends trainings to a disk of their node."""

import os

import pytest

from tests.workflow.conftest import TINY, Run


def calls(folder, *arguments):
    """The calls of `segpipe train` in a dry run."""
    done = folder.snakemake(TINY, "--cores", "1", "-n", "-p", *arguments)
    return [line for line in done.stdout.splitlines() if "segpipe train" in line]


@pytest.fixture
def folder(run, tmp_path, monkeypatch):
    monkeypatch.delenv("SEGPIPE_SCRATCH", raising=False)
    (tmp_path / "data").symlink_to(run.folder / "data")
    return Run(tmp_path)


def test_a_profiles_folder_reaches_the_node_with_its_variables(folder):
    """As `set-resources: train: scratch:` in a profile; the shell of the job must not expand it, nor the head."""
    (folder.folder / "site").mkdir()
    (folder.folder / "site/config.yaml").write_text("set-resources:\n  train:\n    scratch: \"'$TMPDIR'\"\n")
    found = calls(folder, "--profile", str(folder.folder / "site"))
    assert len(found) == 2
    assert all(line.endswith("--scratch='$TMPDIR'") for line in found)


def test_the_environment_does_the_same_and_without_either_nothing_is_copied(folder, monkeypatch):
    assert all(line.endswith("--scratch=") for line in calls(folder))
    monkeypatch.setitem(os.environ, "SEGPIPE_SCRATCH", "/scratch/local")
    assert all(line.endswith("--scratch=/scratch/local") for line in calls(folder))
