"""report.html of many images: bytes, CPU seconds and memory, from made-up scores and 72 phantoms.

python benchmarks/report_html.py --images 100000 --output /tmp/large.html
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.config.stages import ReportStage
from segpipe.demo.render import phantom_arrays
from segpipe.report.cases import choose_shown, draw
from segpipe.report.columns import report_columns
from segpipe.report.page.page import page
from segpipe.report.page.run_facts import read_facts
from segpipe.report.table import build_report
from segpipe.score.columns import measured_columns, score_table
from segpipe.score.summary import summarise

CLASSES = ["lung", "heart"]
SIZE = 512


def made_up(images: int) -> pd.DataFrame:
    """A report's table with everything filled in that a real one has; scores follow from made-up counts."""
    rng = np.random.default_rng(0)
    ids = [f"patient{index // 2:06d}_view{index % 2}" for index in range(images)]
    pixels = np.full(images, 2000 * 1800)
    counts = []
    for share in (0.25, 0.08):
        reference = (pixels * share * rng.uniform(0.7, 1.3, images)).astype(np.int64)
        wrong = (reference * rng.beta(2, 30, (2, images))).astype(np.int64)
        tp = reference - wrong[1]
        counts.append(np.stack([tp, wrong[0], wrong[1], pixels - reference - wrong[0]], axis=1))
    counts.append(counts[0][:, [3, 2, 1, 0]])
    scores = score_table(ids, np.stack(counts, axis=1), CLASSES)
    facts = pd.DataFrame({"image_id": ids})
    for column in report_columns(CLASSES, ["age", "finding"]):
        if column.name not in scores and column.name not in facts:
            measured = column.name in measured_columns(CLASSES, Score())
            (scores if measured else facts)[column.name] = _cells(column.name, column.kind, images, rng)
    return build_report(
        facts.rename(columns={"age": "carried:age", "finding": "carried:finding"}), scores, CLASSES, ["age", "finding"]
    )


def _cells(name: str, kind: str, images: int, rng: np.random.Generator) -> object:
    known = {
        "image": [f"archive/site{index % 7}/patient{index // 2:06d}/view{index % 2}.dcm" for index in range(images)],
        "patient": [f"{key:016x}" for key in rng.integers(0, 2**62, images // 2 + 1).repeat(2)[:images]],
        "status": np.where(rng.random(images) < 0.999, "scored", "quarantined"),
        "flags": rng.choice(["", "", "", "clipped", "mask_area:heart"], images),
        "age": [str(age) for age in rng.integers(1, 99, images)],
    }
    if name in known:
        return known[name]
    match kind:
        case "text":
            return rng.choice(["", "one", "another"], images)
        case "boolean":
            return rng.random(images) < 0.5
        case "integer":
            return rng.integers(0, 4096, images)
        case _:
            return rng.random(images)


def main() -> None:
    """Build the page once and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=Path("report.html"))
    arguments = parser.parse_args()
    table = made_up(arguments.images)
    stage = ReportStage.model_validate(
        {"title": "Many", "checks": {}, "classes": CLASSES, "carried": ["age", "finding"]}
    )
    summary = {"title": "Many", **summarise(table, CLASSES, Score())}
    summary["checks"] = {"flagged": 0, "flags": {}, "duplicates": 0, "near_duplicates": 0}
    before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = []
    for number, (kind, name) in enumerate(choose_shown(table, stage.cases, stage.seed)):
        image, masks = phantom_arrays(number % 12, (SIZE, SIZE))
        bits = (masks["lung"] | masks["heart"] << 1).astype(np.uint8)
        pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        shown.append(draw(kind, name, (pixels, bits, np.roll(bits, 4, axis=1)), CLASSES))
    html = page(stage, table, summary, shown, read_facts(Path("nowhere"), {}), [])
    used = time.process_time() - before
    arguments.output.write_text(html, encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = len(html.encode()) / 1e6
    print(f"{arguments.images} images, {len(table.columns)} columns, {len(shown)} pictures: {size:.1f} MB")
    print(f"{used:.1f} CPU seconds; peak memory {peak:.0f} MB, of which {memory:.0f} MB were there before")


if __name__ == "__main__":
    main()
