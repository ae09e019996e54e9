"""CPU time and memory of summing up a report of many rows: summary, intervals over patients, groups."""

import argparse
import resource
import time

import numpy as np
import pandas as pd
from harness import print_machine, print_table

from segpipe.config import Score
from segpipe.score.columns import measured_columns, score_table
from segpipe.score.groups import group_table
from segpipe.score.summary import summarise


def report(images: int, classes: list[str], score: Score) -> pd.DataFrame:
    """What of a report's rows is summed up; one to three images per patient."""
    rng = np.random.default_rng(0)
    counts = rng.integers(100, 10**5, (images, len(classes) + 1, 4))
    names = [f"i{number:07d}" for number in range(images)]
    table = score_table(names, counts, classes)
    measured = {name: rng.random(images) for name in measured_columns(classes, score)}
    facts = {
        "patient": [f"p{number}" for number in rng.integers(images // 2, size=images)],
        "status": "scored",
        "reason": "",
        "fold": rng.integers(5, size=images).astype(str),
        "site": rng.choice(["north", "south", "west"], images),
    }
    return pd.concat([table, pd.DataFrame({**facts, **measured})], axis=1)


def main() -> None:
    """One row per step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=2)
    arguments = parser.parse_args()
    print_machine("numpy", "pandas")
    classes, score = [f"class{number}" for number in range(arguments.classes)], Score(calibration=False)
    table = report(arguments.images, classes, score)
    rows = []
    for name, work in (
        ("summary.json", lambda: summarise(table, classes, score)),
        ("groups.csv by fold and site", lambda: group_table(table, classes, score, ["fold", "site"], {}, 0)),
    ):
        start = time.process_time()
        work()
        spent = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append([name, f"{spent:.1f}", f"{peak:.0f}"])
    print_table([f"{arguments.images:,} images, {len(classes)} classes", "CPU s", "peak MB so far"], rows)


if __name__ == "__main__":
    main()
