"""A small made-up run for the tests of report.html: a dozen phantoms, one unlabelled, two quarantined."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.config.stages import ReportStage
from segpipe.demo.render import phantom_arrays
from segpipe.report.cases import choose_shown, draw
from segpipe.report.page.page import page
from segpipe.report.page.run_facts import RunFacts, read_facts
from segpipe.report.table import build_report
from segpipe.score.columns import score_table
from segpipe.score.overlap import counts_from_bits
from segpipe.score.summary import summarise

CLASSES = ["lung", "heart"]
COUNTED = Score(surface=False, boundary_iou=False, calibration=False, components=False)
HOSTILE = "</script><img src=x onerror=alert(1)>"
SIZE = 48


def run_stage(**values) -> ReportStage:
    given = {"title": f"Title {HOSTILE}", "checks": {}, "classes": CLASSES, "carried": ["age", "finding"], "cases": 3,
             "score": COUNTED.model_dump()}  # fmt: skip
    return ReportStage.model_validate(given | values)


@cache
def pictures(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, reference and a prediction that is the more shifted the higher the number."""
    pixels, masks = phantom_arrays(number, (SIZE, SIZE))
    bits = (masks["lung"] | masks["heart"] << 1).astype(np.uint8)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8), bits, np.roll(bits, number, axis=1)


def run_table(scored: int = 10) -> pd.DataFrame:
    """The report's table; the images are called case00, case01, ..., the higher the worse."""
    ids = [f"case{number:02d}" for number in range(scored)]
    counts = [counts_from_bits(*pictures(number)[:0:-1], 2) for number in range(scored)]
    scores = score_table(ids, np.array(counts, np.int64).reshape(scored, 3, 4), CLASSES)
    rows = [
        {"image_id": name, "image": f"images/{name}.png", "patient": f"p{number // 2}", "status": "scored",
         "fold": number % 2, "site": "east", "format": "PNG", "carried:age": str(30 + number), "rows": SIZE,
         "carried:finding": HOSTILE if number == 1 else "=1+1", "spacing_row_mm": 0.15 + number / 100}
        for number, name in enumerate(ids)
    ]  # fmt: skip
    rows.append(
        {"image_id": "new", "image": "images/new.png", "patient": "p90", "status": "unlabelled", "format": "PNG"}
    )
    rows.append({"image_id": "bad1", "image": "images/bad1.dcm", "status": "quarantined", "reason": f"has 3 {HOSTILE}"})
    rows.append({"image_id": "bad2", "image": "images/bad2.dcm", "status": "quarantined", "reason": f"has 7 {HOSTILE}"})
    return build_report(pd.DataFrame(rows), scores, CLASSES, ["age", "finding"], score=COUNTED)


def run_page(stage: ReportStage | None = None, table: pd.DataFrame | None = None, facts: RunFacts | None = None) -> str:
    stage = run_stage() if stage is None else stage
    table = run_table() if table is None else table
    wanted = choose_shown(table, stage.cases, stage.seed)
    shown = [draw(kind, name, pictures(int(name[4:] or 11)), CLASSES) for kind, name in wanted]
    checks = {"flagged": 0, "flags": {}, "duplicates": 0, "near_duplicates": 0}
    summary = {**summarise(table, CLASSES, COUNTED), "checks": checks}
    return page(stage, table, summary, shown, facts or read_facts(Path("nowhere"), {}), [])


def filled_path(path: str, shape: tuple[int, int], finer: int = 8) -> np.ndarray:
    """The area of an SVG path by the even-odd rule, at ``finer`` times the resolution."""
    loops = [
        np.rint(np.array([point.split() for point in loop.rstrip("Z").split("L")], float) * finer - 0.5).astype(
            np.int32
        )
        for loop in path.split("M")[1:]
    ]
    canvas = np.zeros((shape[0] * finer, shape[1] * finer), np.uint8)
    return cv2.fillPoly(canvas, loops, 1)
