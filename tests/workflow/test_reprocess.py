"""What docs/reprocessing.md promises of archives that move and shards that double, asked of a real run."""

import re
import shutil

import pytest

from tests.workflow.conftest import TINY, Run


@pytest.fixture
def given(finished, tmp_path) -> tuple[Run, dict]:
    """A run of its own on copies of the data, with a model that is given, so that nothing is trained."""
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    weights = finished.results(TINY) / "models/fold0"
    run = Run(tmp_path)
    config = {**TINY, "name": "again", "model": {"weights": [str(weights)]}}
    del config["train"], config["folds"]
    run.snakemake(config, "--cores", "2")
    return run, config


def read_by_shard(run, config):
    """How many images each preprocess job read and took over, from its log."""
    logs = (run.results(config) / "logs/preprocess").glob("*.log")
    found = {log.stem: re.findall(r"(\d+) taken over unchanged, (\d+) read", log.read_text())[-1] for log in logs}
    return {shard: (int(taken), int(read)) for shard, (taken, read) in found.items()}


def test_doubled_shards_and_a_moved_archive_decode_nothing_and_give_the_same_report(given):
    run, config = given
    report = (run.results(config) / "report.csv").read_bytes()
    bad = report.decode().count(",quarantined,")
    assert sum(read for _, read in read_by_shard(run, config).values()) == 16
    shutil.rmtree(run.results(config) / "logs")

    doubled = {**config, "data": {**config["data"], "shards": 4}}
    run.snakemake(doubled, "--cores", "2")
    counts = read_by_shard(run, config)
    assert len(counts) == 4
    assert [sum(column) for column in zip(*counts.values(), strict=True)] == [16 - bad, bad]
    assert (run.results(config) / "report.csv").read_bytes() == report
    shutil.rmtree(run.results(config) / "logs")

    (run.folder / "data").rename(run.folder / "archive of 2026")
    moved = {**doubled, "data": {**doubled["data"], "root": "archive of 2026"}}
    run.snakemake(moved, "--cores", "2")
    counts = read_by_shard(run, config)
    assert [sum(column) for column in zip(*counts.values(), strict=True)] == [16 - bad, bad]
    assert (run.results(config) / "report.csv").read_bytes() == report
    assert run.jobs(moved) == {}
    assert len(list((run.results(config) / "kept").iterdir())) == 4
