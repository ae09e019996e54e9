"""What it costs Snakemake to find out what there is to do among many images, and whether it finds the right jobs.

Makes an archive of hard links to a few phantoms in a temporary folder, runs the whole workflow once with a stand-in
for the command `segpipe` that writes empty results (so that Snakemake records what it does of a real run), then
starts it again with nothing to do, and with one image added, changed and removed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from harness import PROJECT, print_machine, print_table

from segpipe.config import Config, canonical_json
from segpipe.config_file import parse_config
from segpipe.io.atomic import write_text
from segpipe.model.card import ModelCard
from segpipe.phantom import phantom_arrays

GOAL_CPU_S, GOAL_RSS_MB = 10.0, 400.0
CLASSES = ("lung", "heart")
SOURCES = 16  # a file takes 65,000 hard links on ext4
PER_FOLDER = 1000
WEIGHTS = "weights"
# A bash function, exported: it goes before any command of this name. `--output` is a file, or the folder of
# the files that the rule declares. 60 kB is about what a table of 512 images has.
STAND_IN = """() {
  local verb=$1 out files=() file; shift
  while [ $# -gt 0 ]; do case $1 in --output|--results) out=$2; shift;; esac; shift; done
  case $verb in
    preprocess) files=(images.npy masks.npy table.parquet);;
    dataset) files=(dataset.parquet dataset.json);;
    train) files=(model.safetensors model.json history.csv);;
    report) files=(report.csv summary.json overview.png);;
  esac
  if [ ${#files[@]} -eq 0 ]; then printf '%60000s' "$EPOCHREALTIME" > "$out"; return; fi
  for file in "${files[@]}"; do printf '%60000s' "$EPOCHREALTIME" > "$out/$file"; done
}"""


@dataclass(frozen=True)
class Run:
    """What one call of a command cost, and which jobs Snakemake listed."""

    cpu_s: float
    wall_s: float
    rss_mb: float
    jobs: dict[str, int]


def call(command: list[str], folder: Path) -> Run:
    """Run a command from the project root; CPU time is its own and that of its children."""
    environment = {**os.environ, "BASH_FUNC_segpipe%%": STAND_IN, "PYTHONDONTWRITEBYTECODE": "1"}
    log, started = folder / "output.txt", time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    wall = time.monotonic() - started
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, listed_jobs(text))


def listed_jobs(text: str) -> dict[str, int]:
    """Jobs by rule, from Snakemake's table of job stats."""
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}


def make_sources(folder: Path) -> None:
    """A few small phantoms and their masks; all images are links to these."""
    for seed in range(SOURCES):
        pixels, masks = phantom_arrays(seed, (64, 64))
        pictures = {"image": pixels, **masks}
        for name, picture in pictures.items():
            path = folder / "sources" / name / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.rint(picture * 255.0).astype(np.uint8))


def link_image(folder: Path, number: int, labelled: bool) -> None:
    """Image ``number``, and its masks; two images a patient, a thousand images a folder."""
    source, name = f"{number % SOURCES}.png", f"site{number // PER_FOLDER}/p{number // 2:06d}_v{number % 2}.png"
    for kind in ("image", *CLASSES) if labelled else ("image",):
        path = folder / "data" / kind / name
        if number % PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        os.link(folder / "sources" / kind / source, path)


def write_config(folder: Path, trains: bool) -> Path:
    """A config over the links: one that trains, or one with given weights."""
    masks = {name: f"{name}/{{site}}/{{patient}}_{{view}}.png" for name in CLASSES}
    data = {"root": "data", "images": "image/{site}/{patient}_{view}.png", **({"masks": masks} if trains else {})}
    model = {} if trains else {"weights": WEIGHTS}
    values = {"name": "bench", "classes": dict.fromkeys(CLASSES), "data": data, "model": model}
    write_model(folder / WEIGHTS, parse_config(values))
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


def write_model(folder: Path, config: Config) -> None:
    """A model's card that fits the config, and a file for its weights, which nobody reads here."""
    contract = {"preprocess": config.preprocess.model_dump(mode="json"), "dicom": config.dicom.model_dump(mode="json")}
    card = ModelCard(config.model.network, config.model.options, config.class_values, **contract, provenance={})
    write_text(folder / "model.json", canonical_json(vars(card)))
    write_text(folder / "model.safetensors", "")


def replace_image(folder: Path) -> None:
    """Other content under an image's name; the links' common source stays as it is."""
    path = next((folder / "data" / "image" / "site0").iterdir())
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def remove_image(folder: Path) -> None:
    """Delete one image."""
    next((folder / "data" / "image" / "site0").iterdir()).unlink()


def measure(folder: Path, images: int, trains: bool, repeats: int) -> list[tuple[str, Run]]:
    """All situations in order; each change is followed by a run that brings the results up to date."""
    config = write_config(folder, trains)
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--configfile", str(config)]
    rows = [("first `snakemake -n`", call([*snakemake, "-n"], folder))]
    rows.append(("first run, empty jobs", call([*snakemake, "--cores", "2"], folder)))
    for _ in range(repeats):
        rows.append(("`-n`, nothing to do", call([*snakemake, "-n"], folder)))
        rows.append(("restart, nothing to do", call([*snakemake, "--cores", "2"], folder)))
    changes: dict[str, Callable[[], None]] = {
        "added": lambda: link_image(folder, images, trains),
        "changed": lambda: replace_image(folder),
        "removed": lambda: remove_image(folder),
    }
    for name, change in changes.items():
        change()
        rows.append((f"`-n`, one image {name}", call([*snakemake, "-n"], folder)))
        rows.append((f"run, one image {name}", call([*snakemake, "--cores", "2"], folder)))
    rows.append(("`-n` after all that", call([*snakemake, "-n"], folder)))
    return rows


def judge(rows: list[tuple[str, Run]]) -> str:
    """Whether the goals are met; runs with jobs are left out, since the jobs are what costs there."""
    figures = [run for name, run in rows if "`-n`" in name or "snakemake -n" in name or "nothing" in name]
    cpu, rss = max(run.cpu_s for run in figures), max(run.rss_mb for run in figures)
    one = all(run.jobs.get("preprocess") == 1 for name, run in rows if ", one image" in name)
    none = all(not run.jobs for name, run in rows if "nothing" in name or "after" in name)
    return (
        f"Goals: under {GOAL_CPU_S:.0f} s CPU and {GOAL_RSS_MB:.0f} MB "
        f"({'met' if cpu < GOAL_CPU_S and rss < GOAL_RSS_MB else 'missed'}: at most {cpu:.1f} s, {rss:.0f} MB); "
        f"one image, one shard preprocessed ({'met' if one else 'missed'}); "
        f"no change, no job ({'met' if none else 'missed'}).\n"
    )


def table_row(name: str, run: Run) -> list[str]:
    """A run as a row of the table."""
    jobs = ", ".join(f"{rule} {count}" for rule, count in run.jobs.items())
    return [name, f"{run.cpu_s:.1f}", f"{run.wall_s:.1f}", f"{run.rss_mb:.0f}", jobs or "none"]


def main() -> None:
    """Parse the arguments, make the archive, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000, help="number of images (default 100,000)")
    parser.add_argument("--train", action="store_true", help="a config that trains, with two masks an image")
    parser.add_argument("--repeats", type=int, default=3, help="restarts with nothing to do (default 3)")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segpipe-bench-", dir=arguments.folder))
    try:
        make_sources(folder)
        for number in range(arguments.images):
            link_image(folder, number, arguments.train)
        kind = "a config that trains, two masks an image" if arguments.train else "given weights, no masks"
        print(f"{arguments.images} images, {kind}")
        print_machine("snakemake", "pydantic")
        rows = measure(folder, arguments.images, arguments.train, arguments.repeats)
        print_table(("", "CPU s", "wall s", "peak RSS MB", "jobs"), [table_row(*row) for row in rows])
        print(judge(rows))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
