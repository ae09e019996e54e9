"""What a SLURM cluster costs: jobs per hour, the share of time that no image is worked on, and what shards should hold.

Starts the cluster of the tests on this machine (tests/slurm/cluster.py: root, slurm-wlm, munge), and runs the workflow
on it with a stand-in for the command `segpipe` that only sleeps for the time its images would take, as if each node
had cores of its own. What is measured is what Snakemake and SLURM add; a model of it says what a cluster of other size
wants.
"""

import argparse
import itertools
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from harness import PROJECT, print_machine, print_table
from reprocess_archive import Archive

sys.path.insert(0, str(PROJECT))
from tests.slurm.cluster import Cluster, alone, install, missing, running

STAGES = ("preprocess", "predict", "score")
# Seconds an image by stage, about those of the other benchmarks.
WORK = {"preprocess": 0.13, "predict": 0.1, "score": 0.02}
# As reprocess.py's, but it takes its time, and writes down when. Bash reads it from BASH_ENV: the shell of a SLURM job
# drops exported functions.
STAND_IN = """segpipe() {{
  local verb=$1 out table files=() file; shift
  while [ $# -gt 0 ]; do case $1 in
    --output|--results) out=$2; shift;; --table) table=$2; shift;;
    --shard) table={folder}/results/bench/samples/$(basename "$2").csv; shift;;
  esac; shift; done
  case $verb in
    preprocess) files=(images.npy masks.npy table.parquet);;
    report) files=(report.csv report.parquet report.html groups.csv summary.json overview.png);;
    provenance) : > "$out/provenance.json"; : > "$out/ro-crate-metadata.json"; return;;
    check) : > "$out"; return;;
  esac
  local seconds=0
  case $verb in preprocess) seconds={preprocess};; predict-shard) seconds={predict};; score) seconds={score};; esac
  local rows=0
  [ -z "$table" ] || rows=$(($(wc -l < "$table") - 1))
  echo "$verb $SLURM_JOB_ID $EPOCHREALTIME start" >> {folder}/work.txt
  sleep "$(awk "BEGIN {{ print $rows * $seconds }}")"
  echo "$verb $SLURM_JOB_ID $EPOCHREALTIME end" >> {folder}/work.txt
  if [ ${{#files[@]}} -eq 0 ]; then echo > "$out"; return; fi
  for file in "${{files[@]}}"; do echo > "$out/$file"; done
}}"""


@dataclass(frozen=True)
class Job:
    """When a job was submitted, ran on a node, and worked on images; seconds since 1970."""

    stage: str
    submitted: float
    started: float
    ended: float
    worked: float

    @property
    def overhead(self) -> float:
        """Seconds on a node without work: two Snakemakes start and end."""
        return self.ended - self.started - self.worked


@dataclass(frozen=True)
class Cost:
    """What a cluster adds: seconds in each job, and seconds from a stage's end to the start of the next."""

    per_job: float
    per_stage: float

    def seconds(self, rows: int, shard: int, slots: int) -> float:
        """The model: in each stage, jobs of one shard run in rounds of as many as there are slots."""
        rounds = math.ceil(math.ceil(rows / shard) / slots)
        return sum(rounds * (self.per_job + shard * WORK[stage]) + self.per_stage for stage in STAGES)

    def lost(self, rows: int, shard: int, slots: int) -> float:
        """The share of the slots' time in which no image is worked on."""
        return 1 - rows * sum(WORK.values()) / (slots * self.seconds(rows, shard, slots))

    def best(self, rows: int, slots: int) -> int:
        """The shard, of 512 images times or by a power of two, with which a run is over first."""
        sizes = [2**power for power in range(4, 16)]
        return min(sizes, key=lambda size: (self.seconds(rows, size, slots), -size))


def make(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Images, config, profile; Snakemake's command line."""
    Archive(folder, arguments.rows, trains=False).write_config(
        data={"shards": arguments.shards}, predict={"threads": 1}
    )
    path = folder / "config.json"
    profile = yaml.safe_load((PROJECT / "profiles/slurm/config.yaml").read_text())
    profile |= {"jobs": arguments.jobs, "slurm-init-seconds-before-status-checks": arguments.polls}
    profile["seconds-between-status-checks"] = arguments.polls
    if arguments.arrays:
        profile["slurm-array-jobs"] = ",".join(STAGES)
    (folder / "profile").mkdir()
    (folder / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--configfile", str(path)]
    return [*snakemake, "--profile", str(folder / "profile")]


def run(command: list[str], folder: Path, limit: float) -> float:
    """The whole workflow; its seconds."""
    (folder / "stand-in.sh").write_text(STAND_IN.format(folder=folder, **WORK))
    environment = {**os.environ, "BASH_ENV": f"{folder}/stand-in.sh", "XDG_CACHE_HOME": f"{folder}/.cache"}
    started = time.monotonic()
    with (folder / "head.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output)
        try:
            code = process.wait(limit)
        finally:
            process.kill()
            process.wait()
    if code:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'head.txt').read_text()[-3000:]}")
    return time.monotonic() - started


def jobs_of(cluster: Cluster, folder: Path) -> list[Job]:
    """From SLURM's memory of the jobs and the stand-in's notes."""
    notes: dict[str, list[float]] = {}
    for line in (folder / "work.txt").read_text().splitlines():
        _, job, moment, _ = line.split()
        notes.setdefault(job, []).append(float(moment))
    jobs = []
    for number, facts in cluster.history().items():
        stage = re.sub(r"^rule_|_wildcards.*$", "", facts["Comment"])
        moments = [seconds(facts[name]) for name in ("SubmitTime", "StartTime", "EndTime")]
        if stage in STAGES and facts["WorkDir"] == str(folder):
            jobs.append(Job(stage, *moments, notes[number][-1] - notes[number][0]))
    return jobs


def seconds(text: str) -> float:
    """SLURM's local time as seconds."""
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def between_stages(jobs: list[Job]) -> list[float]:
    """Seconds from the end of the last job of a stage to the submission of the next stage's last."""
    last = {stage: max((job for job in jobs if job.stage == stage), key=lambda job: job.submitted) for stage in STAGES}
    ends = {stage: max(job.ended for job in jobs if job.stage == stage) for stage in STAGES}
    return [max(0.0, last[after].submitted - ends[before]) for before, after in itertools.pairwise(STAGES)]


def main() -> None:
    """Run once, print what it took and the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="images (default 10,000)")
    parser.add_argument("--shards", type=int, default=16, help="a power of two (default 16)")
    parser.add_argument("--jobs", type=int, default=16, help="jobs at a time (default 16)")
    parser.add_argument("--polls", type=int, default=20, help="seconds between looks at the queue (default 20)")
    parser.add_argument("--arrays", action="store_true", help="submit each rule's shards as one array")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which to give up (default 3600)")
    arguments = parser.parse_args()
    install()
    if reason := missing():
        sys.exit(f"No SLURM cluster can be started: {reason}")
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-") as name:
        for part in ("cluster", "run"):
            Path(name, part).mkdir()
        measure(arguments, Path(name, "cluster"), Path(name, "run"))


def measure(arguments: argparse.Namespace, daemons: Path, folder: Path) -> None:
    """One run on a cluster of its own."""
    with alone(), running(daemons) as cluster:
        measure_on(cluster, arguments, folder)


def measure_on(cluster: Cluster, arguments: argparse.Namespace, folder: Path) -> None:
    """The same on a cluster that runs."""
    command = make(folder, arguments)
    print_machine("snakemake", "snakemake-executor-plugin-slurm")
    wall = run(command, folder, arguments.limit)
    print_run(arguments, jobs_of(cluster, folder), wall)


def print_run(arguments: argparse.Namespace, jobs: list[Job], wall: float) -> None:
    """Tables: what was measured, and what the model makes of it."""
    cost = Cost(statistics.median(job.overhead for job in jobs), statistics.mean(between_stages(jobs)))
    worked, used = sum(job.worked for job in jobs), sum(job.ended - job.started for job in jobs)
    print(
        f"{arguments.rows} images, {arguments.shards} shards, {arguments.jobs} jobs at a time, first look at the queue "
        f"after {arguments.polls} s\n"
    )
    facts = {
        "jobs": str(len(jobs)),
        "minutes": f"{wall / 60:.1f}",
        "jobs per hour": f"{len(jobs) / wall * 3600:.0f}",
        "seconds of a job that are no work, median": f"{cost.per_job:.1f}",
        "seconds from a stage to the next": f"{cost.per_stage:.0f}",
        "share of the jobs' own time that is no work": f"{1 - worked / used:.0%}",
        "share of all slots' time that is no work": f"{1 - worked / (wall * arguments.jobs):.0%}",
    }
    print_table(("", "measured"), list(facts.items()))
    rows = []
    for images, slots in itertools.product((10_000, 100_000, 1_000_000), (2, 16, 128)):
        best = cost.best(images, slots)
        hours = cost.seconds(images, best, slots) / 3600
        own = [f"{cost.lost(images, size, slots):.0%}" for size in (best, 512)]
        rows.append([f"{images}", f"{slots}", f"{best}", f"{hours:.1f}", *own])
    print_table(("images", "jobs at once", "best shard", "hours", "lost", "lost with 512"), rows)


if __name__ == "__main__":
    main()
