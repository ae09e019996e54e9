"""What it costs Snakemake to find out what there is to do among many images, and whether it finds the right jobs.

Makes an archive of hard links to a few phantoms in a temporary folder, runs the whole workflow once with a stand-in
for the command `segpipe` that writes empty results (so that Snakemake records what it does of a real run), then
changes one thing after the other. Each line is a dry run: it starts no job, so its cost is that of Snakemake itself and
of the scan; what it lists is compared with what docs/reprocessing.md promises. After a small change the jobs run; a
large one (weights, threshold, title, root, number of shards) is taken back, and nothing may be left to do.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness import PROJECT, print_machine, print_table
from processes import Cost, call
from reprocess_archive import WEIGHTS, Archive

from segpipe.samples.shards import shard_count

GOAL_CPU_S, GOAL_RSS_MB, MILLION_CPU_S, MILLION_RSS_MB = 10.0, 400.0, 60.0, 1000.0
FOLDS = 5
# A bash function, exported: it goes before any command of this name. `--output` is a file, or the folder of
# the files that the rule declares. 60 kB is about what a table of 512 images has.
STAND_IN = """() {
  local verb=$1 out files=() file; shift
  while [ $# -gt 0 ]; do case $1 in --output|--results) out=$2; shift;; esac; shift; done
  case $verb in
    preprocess) files=(images.npy masks.npy table.parquet);;
    dataset) files=(dataset.parquet dataset.json);;
    train) files=(model.safetensors model.json history.csv training.csv);;
    report) files=(report.csv report.parquet report.html groups.csv summary.json overview.png);;
    provenance) files=(provenance.json ro-crate-metadata.json);;
  esac
  if [ ${#files[@]} -eq 0 ]; then printf '%60000s' "$EPOCHREALTIME" > "$out"; return; fi
  for file in "${files[@]}"; do printf '%60000s' "$EPOCHREALTIME" > "$out/$file"; done
}"""
Jobs = Mapping[str, int]


class Promise:
    """The jobs that docs/reprocessing.md promises, by rule."""

    def __init__(self, shards: int, trains: bool) -> None:
        self.shards = shards
        self._learning = {"dataset": 1, "train": FOLDS} if trains else {}
        self.title: Jobs = {"report": 1, "check": 1, "provenance": 1}
        self.settings: Jobs = {"predict": shards, "score": shards, **self.title}
        self.everything: Jobs = {"preprocess": shards, **self._learning, **self.settings}
        several = shards if trains else 1  # trained models depend on all images
        self.one: Jobs = {"preprocess": 1, **self._learning, "predict": several, "score": several, **self.title}
        self.model: Jobs = {"train": FOLDS, **self.settings} if trains else self.settings


class Bench:
    """An archive, Snakemake, and the table's rows."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.rows = archive, list[list[str]]()
        self.costs, self.kept = list[Cost](), list[bool]()
        config, folder = str(archive.folder / "config.json"), str(archive.folder)
        self._snakemake = [sys.executable, "-m", "snakemake", "--directory", folder, "--configfile", config]
        self._log = archive.folder / "output.txt"

    def call(self, *arguments: str) -> tuple[Cost, Jobs]:
        """One call of Snakemake, and the jobs that it lists."""
        environment = {**os.environ, "BASH_FUNC_segpipe%%": STAND_IN, "PYTHONDONTWRITEBYTECODE": "1"}
        cost = call([*self._snakemake, *arguments], self._log, PROJECT, environment)
        return cost, listed_jobs(self._log.read_text())

    def look(self, name: str, promised: Jobs) -> None:
        """A dry run as a row of the table."""
        cost, jobs = self.call("-n", "--quiet", "rules")
        self.costs.append(cost)
        self.kept.append(jobs == promised)
        said = ", ".join(f"{rule} {count}" for rule, count in jobs.items()) or "none"
        verdict = "as promised" if jobs == promised else f"NOT: {dict(promised)}"
        figures = [f"{cost.cpu_s:.1f}", f"{cost.wall_s:.1f}", f"{cost.rss_mb:.0f}"]
        self.rows.append([name, *figures, said, verdict])
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)

    def run(self) -> Cost:
        """Bring the results up to date."""
        return self.call("--cores", "2", "--quiet", "all")[0]

    def scan(self) -> Cost:
        """The listing alone."""
        segpipe = [sys.executable, "-m", "segpipe", "scan", "config.json"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return call(segpipe, self._log, self.archive.folder, environment)


def listed_jobs(text: str) -> Jobs:
    """Jobs by rule, from Snakemake's table of job stats."""
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}


def small_changes(bench: Bench, promise: Promise) -> None:
    """One file added, changed, removed; after each the jobs run."""
    archive, new = bench.archive, bench.archive.images
    changes = {
        "one image added": lambda: archive.link(new),
        "one image changed": lambda: archive.replace("image", 0),
        "one image removed": lambda: archive.path("image", 1).unlink(),
        "one mask corrected": lambda: archive.replace("mask", 2 + 1),
    }
    for name, change in changes.items():
        change()
        bench.look(name, promise.one)
        bench.run()
    bench.look("nothing to do after these", {})


def large_changes(bench: Bench, promise: Promise) -> None:
    """Settings, weights, folder and shards; each is taken back after a look."""
    archive, weights = bench.archive, bench.archive.folder / WEIGHTS
    archive.write_config(predict={"threshold": 0.4})
    bench.look("a changed threshold", promise.settings)
    archive.write_config(report={"title": "Another"})
    bench.look("a changed report title", promise.title)
    if archive.trains:
        archive.write_config(model={"network": "unet"})
        bench.look("another network", promise.model)
    else:
        weights.rename(weights.with_name("first model"))
        archive.write_model("second")
        bench.look("a new model", promise.model)
        shutil.rmtree(weights)
        weights.with_name("first model").rename(weights)
    archive.write_config(data={"shards": 2 * promise.shards})
    bench.look("doubled shards", Promise(2 * promise.shards, archive.trains).everything)
    (archive.folder / "data").rename(archive.folder / "moved")
    archive.write_config(data={"root": "moved"})
    bench.look("the archive moved", promise.everything)
    (archive.folder / "moved").rename(archive.folder / "data")
    archive.write_config()
    bench.look("all taken back", {})


def judge(bench: Bench, images: int) -> str:
    """Whether the goals are met."""
    most = (MILLION_CPU_S, MILLION_RSS_MB) if images > 100_000 else (GOAL_CPU_S, GOAL_RSS_MB)
    cpu, rss = max(cost.cpu_s for cost in bench.costs), max(cost.rss_mb for cost in bench.costs)
    met = "met" if cpu < most[0] and rss < most[1] else "missed"
    return (
        f"Goals: a dry run under {most[0]:.0f} s CPU and {most[1]:.0f} MB: {met} (at most {cpu:.1f} s, {rss:.0f} MB). "
        f"As promised: {sum(bench.kept)} of {len(bench.kept)} lines.\n"
    )


def main() -> None:
    """Parse the arguments, make the archive, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000, help="number of images (default 100,000)")
    parser.add_argument("--train", action="store_true", help="a config that trains")
    parser.add_argument("--first", action="store_true", help="the scan and the first dry run only")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segpipe-bench-", dir=arguments.folder))
    try:
        archive = Archive(folder, arguments.images, arguments.train)
        promise, bench = Promise(shard_count(arguments.images, "auto"), arguments.train), Bench(archive)
        kind = "a config that trains" if arguments.train else "given weights"
        print(f"{arguments.images} images in {promise.shards} shards, {kind}")
        print_machine("snakemake", "pydantic")
        first = bench.scan()
        bench.look("first run", promise.everything)
        if not arguments.first:
            cost = bench.run()
            bench.rows.append(["the first run itself, empty jobs", f"{cost.cpu_s:.1f}", f"{cost.wall_s:.1f}",
                               f"{cost.rss_mb:.0f}", "", ""])  # fmt: skip
            bench.look("nothing to do", {})
            small_changes(bench, promise)
            large_changes(bench, promise)
        again = bench.scan()
        for name, cost in (("first", first), ("again", again)):
            print(f"`segpipe scan`, {name}: {cost.cpu_s:.1f} s CPU, {cost.wall_s:.1f} s, {cost.rss_mb:.0f} MB")
        print()
        print_table(("dry run after", "CPU s", "wall s", "peak RSS MB", "jobs", "compared"), bench.rows)
        print(judge(bench, arguments.images))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
