"""`segpipe status` names the same jobs and files as the rules do, and sees a run of Snakemake's."""

import csv

import pytest

from segpipe.audit.status.overview import State, jobs_of, look
from segpipe.config.load import load_config
from tests.workflow.conftest import TINY, Run

SEEDS = TINY | {"name": "seeds", "train": TINY["train"] | {"repeats": 2}}
COMPARED = TINY | {"name": "compared", "compare": {"losses": ["dice", "bce"], "repeats": 2}}


@pytest.mark.parametrize("config", [TINY, SEEDS, COMPARED], ids=lambda config: config["name"])
def test_its_jobs_are_those_of_the_rules(run, tmp_path, config):
    (tmp_path / "data").symlink_to(run.folder / "data")
    folder = Run(tmp_path)
    table = folder.snakemake(config, "--cores", "1", "--detailed-summary").stdout
    theirs = {row["output_file"]: row["rule"] for row in csv.DictReader(table.splitlines(), delimiter="\t")}
    jobs = jobs_of(load_config(tmp_path / f"{config['name']}.yaml"), ["0000", "0001"])
    ours = {str(output): job.rule for job in jobs for output in job.outputs}
    assert ours.items() <= theirs.items(), "an output that no rule makes"
    others = {output for output in theirs if not any(output.startswith(path.rsplit("/", 1)[0]) for path in ours)}
    assert others == set(), "a job that is missing"


def test_of_a_finished_run_all_jobs_are_done_and_have_their_logs(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    # Whatever other tests did in this folder before, Snakemake's last log is then that of a run with steps.
    finished.snakemake(TINY | {"report": {"title": "Looked at"}}, "--cores", "2")
    found = look(load_config(finished.folder / "tiny.yaml"), None)
    assert {job.state for job in found.jobs} == {State.DONE}
    assert [job.label for job in found.jobs if not job.job.log.exists()] == []
    assert [progress.epoch for _, progress in found.models] == [3, 3]
    assert found.log.steps.split(" of ")[0] == found.log.steps.split(" of ")[1]
    assert not found.locked
