"""Looking does not touch: plans beside a run change nothing of it."""

import random
import subprocess
import time
from pathlib import Path

import yaml

from segpipe.samples.scan import scan_of_run
from tests.workflow.conftest import PROJECT, TINY, Run

# What other plans want of the same results folder: settings of every stage, another number of shards, other classes.
OTHERS = [
    {"train": {**TINY["train"], "learning_rate": 0.5}, "data": {**TINY["data"], "shards": 1}},
    {"classes": {"lung": None}, "data": {**TINY["data"], "masks": {"lung": TINY["data"]["masks"]["lung"]}}},
    {"preprocess": {"size": 96}, "predict": {"threshold": 0.4}, "data": {**TINY["data"], "shards": 4}},
]
SAME = ("report.csv", "report.parquet", "summary.json", "groups.csv")


def outputs(results: Path) -> dict[str, bytes]:
    """Weights, masks, scores and tables."""
    kept = [*(results / name for name in SAME), *results.glob("models/*/model.*"), *results.glob("masks/**/*.png")]
    return {str(path.relative_to(results)): path.read_bytes() for path in [*kept, *results.glob("scores/*.parquet")]}


def test_other_plans_at_random_moments_of_a_run_change_no_byte_of_it(finished: Run):
    config = {**TINY, "name": "disturbed"}
    path = finished.folder / "disturbed.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    log = finished.folder / "disturbed.log"
    with log.open("w") as stream:
        command, environment = finished.command(path, "--cores", "2"), finished.environment()
        running = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=stream, stderr=stream)
    seed, plans = time.time_ns(), 0
    draw = random.Random(seed)
    while running.poll() is None:
        other = finished.folder / "other.yaml"
        other.write_text(yaml.safe_dump({**config, **draw.choice(OTHERS)}, sort_keys=False))
        planned = subprocess.run(
            finished.command(other, "--cores", "1", "-n", "--nolock", "--quiet", "all"),
            cwd=PROJECT,
            env=finished.environment(),
            capture_output=True,
            text=True,
        )
        assert planned.returncode == 0, planned.stdout + planned.stderr
        plans += 1
        time.sleep(draw.uniform(0, 2))
    assert running.returncode == 0, log.read_text()
    assert plans >= 3
    print(f"moments of seed {seed}")  # shown where the next line fails
    assert outputs(finished.results(config)) == outputs(finished.results(TINY))
    assert finished.jobs(config) == {}
    assert set(scan_of_run(finished.results(config)).shards) == {"0000", "0001"}, "the run's, not a plan's"


def test_without_its_images_a_run_can_be_looked_at_and_not_started(run: Run, tmp_path):
    elsewhere = Run(tmp_path)
    for arguments in (["-n"], ["--lint"], ["--unlock"], ["--rulegraph"]):
        done = elsewhere.snakemake(TINY, *arguments)
        assert "data.root: the folder data does not exist" in done.stderr, arguments
    refused = elsewhere.snakemake(TINY, "--cores", "1", check=False)
    assert refused.returncode != 0
    assert "data.root: the folder data does not exist" in refused.stdout + refused.stderr
    assert not (tmp_path / "results/tiny/report.csv").exists()


def test_with_its_archive_offline_a_finished_run_has_nothing_to_do(finished: Run):
    away = finished.folder / "away"
    (finished.folder / "data").rename(away)
    try:
        done = finished.snakemake(TINY, "--cores", "1")
        assert "Nothing to be done" in done.stdout + done.stderr
    finally:
        away.rename(finished.folder / "data")


def test_a_run_without_a_name_is_called_as_its_config(run: Run):
    nameless = {key: value for key, value in TINY.items() if key != "name"}
    for name in ("first", "second"):
        path = run.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(nameless, sort_keys=False))
        command = run.command(path, "-n", "--quiet", "all")
        subprocess.run(command, cwd=PROJECT, env=run.environment(), check=True, capture_output=True)
        assert list((run.folder / "results" / name / "samples").glob("scan-*.json"))


MODULE = """
module segpipe:
    snakefile: "{snakefile}"
    config: config

use rule * from segpipe as seg_*

rule all:
    default_target: True
    input: rules.seg_all.input
"""


def test_as_a_module_it_plans_and_says_its_messages(run: Run, tmp_path):
    (tmp_path / "Snakefile").write_text(MODULE.format(snakefile=PROJECT / "Snakefile"))
    done = run.snakemake({**TINY, "name": "module"}, "--snakefile", str(tmp_path / "Snakefile"), "--cores", "1", "-n")
    assert "Gathering 16 images" in done.stdout + done.stderr


def test_a_verb_that_fails_fails_its_job_also_before_a_pipe(finished: Run):
    """`segpipe check ... | tee` ended with 0, and Snakemake spoke of a file that was missing for its latency."""
    config = {**TINY, "data": {**TINY["data"], "tolerate": 0.0}}
    done = finished.snakemake(config, "--cores", "1", check=False)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "more than data.tolerate allows (0.0%)" in output
    assert "latency" not in output
    finished.snakemake(TINY, "--cores", "1")
