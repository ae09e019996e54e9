"""`segpipe status` names the same jobs and files as the rules do, and sees a run of Snakemake's."""

import contextlib
import csv
import subprocess
import time

import pytest
import yaml

from segpipe.audit.status import State, jobs_of, look
from segpipe.config.load import load_config
from tests.workflow.conftest import PROJECT, TINY, Run

SEEDS = TINY | {"name": "seeds", "train": TINY["train"] | {"repeats": 2}}
COMPARED = TINY | {"name": "compared", "compare": {"losses": ["dice", "bce"], "repeats": 2}}


@pytest.mark.parametrize("config", [TINY, SEEDS, COMPARED], ids=lambda config: config["name"])
def test_its_jobs_are_those_of_the_rules(run, tmp_path, config):
    (tmp_path / "data").symlink_to(run.folder / "data")
    folder = Run(tmp_path)
    table = folder.snakemake(config, "--cores", "1", "--detailed-summary").stdout
    theirs = {row["output_file"]: row["rule"] for row in csv.DictReader(table.splitlines(), delimiter="\t")}
    jobs = jobs_of(load_config(tmp_path / f"{config['name']}.yaml"), ["0000", "0001"])
    results = f"results/{config['name']}"
    ours = {f"{results}/{job.output}": job.rule for job in jobs}
    assert ours.items() <= theirs.items(), "an output that no rule makes"
    folders = {path.rpartition("/")[0] for path in ours}
    assert {output for output in theirs if output.rpartition("/")[0] not in folders} == set(), "a job that is missing"
    assert set(theirs.values()) == set(ours.values())


@pytest.fixture(scope="module")
def watched(finished) -> tuple[int, set[int]]:
    """The process of a Snakemake with steps to do, and those that were seen while it ran."""
    path = finished.folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | {"report": {"title": "Looked at while it runs"}}, sort_keys=False))
    process = subprocess.Popen(
        finished.command(path, "--cores", "2"), cwd=PROJECT, env=finished.environment(), stderr=subprocess.DEVNULL
    )
    seen = set()
    with contextlib.chdir(finished.folder):
        config = load_config(path)
        while process.poll() is None:
            seen.add(look(config).process)
            time.sleep(0.2)
    assert process.returncode == 0
    return process.pid, seen


def test_a_snakemake_that_runs_is_seen_with_its_log(watched):
    process, seen = watched
    assert process in seen


def test_of_a_finished_run_all_jobs_are_done_and_have_their_logs(watched, finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    config = load_config(finished.folder / "tiny.yaml")
    found, jobs = look(config), jobs_of(config, ["0000", "0001"])
    assert {state for row in found.jobs.values() for state, number in row.items() if number} == {State.DONE}
    assert [job.log for job in jobs if not (config.folder / job.log).exists()] == []
    assert [model.progress.epoch for model in found.models] == [3, 3]
    assert found.steps.split(" of ")[0] == found.steps.split(" of ")[1]
    assert found.snakemake == "is gone"
