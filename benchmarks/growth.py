"""How CPU time and memory of the steps that see all images grow: scan, dataset, the tables of score, report.

Each step runs as a process of its own over a run without images (``growth_tables.py``): the tables that the other
stages would leave, of 1,000, 10,000 and 100,000 images in shards of about 512. The exponent is the slope of CPU time
over images, both as logarithms, from least squares; what the step takes for a hundred images is taken off first, since
that is starting Python and its libraries. 1 is linear. `score` runs over all shards one after the other here, as many
jobs do in a workflow.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from growth_tables import config_of, make_files, make_predictions, make_stores, template, write_scores
from harness import print_machine, print_table
from processes import Cost, call

from segpipe.config import Config
from segpipe.files.atomic import write_bytes
from segpipe.files.json_file import canonical_json
from segpipe.masks.encode import Layout, mask_form
from segpipe.preprocess.store import FILES
from segpipe.report.cases import choose_cases
from segpipe.samples.scan import read_scan

GOAL_EXPONENT, GOAL_RSS_MB, START_IMAGES = 1.05, 1000, 100
STEPS = ("scan", "dataset", "score", "report")


def measure(folder: Path, images: int, row: dict[str, object]) -> dict[str, Cost]:
    """The four steps in order, each on what the earlier ones left."""
    config = config_of(folder)
    make_files(config.data.root, images)
    path, log, results = folder / "config.json", folder / "log.txt", config.folder
    path.write_text(canonical_json(config.model_dump(mode="json")))
    costs = {"scan": call([_segpipe(), "scan", str(path)], log)}
    found = read_scan(config)
    shards = sorted(found.shards)
    make_stores(config, row)
    make_predictions(config)
    stage = [_segpipe(), "dataset", "--config", str(results / found.stage("dataset"))]
    costs["dataset"] = call([*stage, "--stores", f"{results}/shards", "--output", f"{results}/dataset", *shards], log)
    costs["score"] = call([sys.executable, __file__, "--scores", str(results)], log)
    make_masks(config, shards)
    stage = [_segpipe(), "report", "--results", str(results)]
    costs["report"] = call(
        [*stage, *(f"--config={results / found.stage(name)}" for name in ("report", "predict")), *shards], log
    )
    return costs


def make_masks(config: Config, shards: Sequence[str]) -> None:
    """Masks of the few images that the overview will show."""
    parts = [pd.read_parquet(config.folder / "scores" / f"{shard}.parquet").assign(shard=shard) for shard in shards]
    table = pd.concat(parts).assign(status="scored")
    shard_of = table.set_index("image_id")["shard"]
    for _, image_id in choose_cases(table):
        shard = str(shard_of[image_id])
        facts = pd.read_parquet(config.folder / "shards" / shard / FILES[2]).set_index("image_id").loc[image_id]
        masks = np.zeros((len(config.class_values), int(facts["rows"]), int(facts["columns"])), bool)
        form = mask_form(config.predict.form, config.class_values, True)
        for name, content in Layout(config.class_values, form).encode_masks(image_id, masks).items():
            write_bytes(config.folder / "masks" / shard / name, content)


def exponent(images: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(images), np.log(np.maximum(seconds, 1e-3)), 1)[0])


def print_results(costs: dict[int, dict[str, Cost]], sizes: Sequence[int]) -> None:
    """A row per step and size, a row per step with its exponent, and the verdict."""
    rows, fitted = [], {}
    for step in STEPS:
        start = costs[START_IMAGES][step].cpu_s
        for size in (START_IMAGES, *sizes):
            cost = costs[size][step]
            own = cost.cpu_s - start
            micro = "" if size == START_IMAGES else f"{1e6 * own / size:.0f}"
            rows.append([f"{step}, {size:,}", f"{cost.cpu_s:.2f}", micro, f"{cost.wall_s:.1f}", f"{cost.rss_mb:.0f}"])
        fitted[step] = exponent(sizes, [costs[size][step].cpu_s - start for size in sizes])
    print_table(("step, images", "CPU s", "µs an image beyond the start", "wall s", "peak RSS MB"), rows)
    verdicts = [[step, f"{slope:.2f}", "met" if slope <= GOAL_EXPONENT else "missed"] for step, slope in fitted.items()]
    print_table(("step", "exponent", f"at most {GOAL_EXPONENT}"), verdicts)
    largest = max(cost.rss_mb for size in sizes if size <= 100_000 for cost in costs[size].values())
    print(
        f"Goal: under {GOAL_RSS_MB} MB up to 100,000 images: {'met' if largest < GOAL_RSS_MB else 'missed'} "
        f"(at most {largest:.0f} MB)."
    )


def _segpipe() -> str:
    return str(Path(sys.executable).with_name("segpipe"))


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000], help="sizes of the runs")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    parser.add_argument("--keep", action="store_true", help="leave the runs in the temporary folder, and name it")
    parser.add_argument("--scores", type=Path, help=argparse.SUPPRESS)  # the step `score`, in a process of its own
    arguments = parser.parse_args()
    if arguments.scores:
        write_scores(arguments.scores, sorted(path.stem for path in (arguments.scores / "samples").glob("*.csv")))
        return
    folder = Path(tempfile.mkdtemp(prefix="segpipe-bench-", dir=arguments.folder))
    try:
        print_machine("pandas", "pyarrow", "numpy")
        row, costs = template(folder), {}
        for images in (START_IMAGES, *arguments.images):
            costs[images] = measure(folder / str(images), images, row)
            print(images, costs[images], file=sys.stderr, flush=True)
        print_results(costs, arguments.images)
    finally:
        if arguments.keep:
            print(folder)
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
