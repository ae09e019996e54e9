"""Which pictures the page has, and that their outlines are the masks."""

import base64

import cv2
import numpy as np
import pandas as pd
import pytest

from segpipe.demo.render import phantom_arrays
from segpipe.report.cases import LONGEST_SIDE, choose_cases, choose_shown, draw, outline
from tests.unit.report_page import filled_path


def ranking(*scores, status="scored"):
    ids = [f"i{number:02d}" for number in range(len(scores))]
    return pd.DataFrame({"image_id": ids, "status": status, "miou": scores})


def test_worst_best_and_a_sample_of_the_rest():
    chosen = choose_shown(ranking(*np.linspace(0, 1, 20)), 3, seed=0)
    assert chosen[:6] == [
        (kind, f"i{n:02d}") for kind, n in zip(["worst"] * 3 + ["best"] * 3, [0, 1, 2, 19, 18, 17], strict=True)
    ]
    sample = [name for kind, name in chosen if kind == "sample"]
    assert len(sample) == 3
    assert set(sample) <= {f"i{number:02d}" for number in range(3, 17)}


def test_the_sample_depends_on_the_seed_and_not_on_the_order_of_rows():
    table = ranking(*np.linspace(0, 1, 60))
    assert choose_shown(table, 4, seed=1) == choose_shown(table[::-1], 4, seed=1)
    assert choose_shown(table, 4, seed=1) != choose_shown(table, 4, seed=2)


def test_few_images_are_shown_once_and_unscored_ones_in_the_sample():
    assert choose_shown(ranking(0.5), 3, 0) == [("worst", "i00")]
    assert choose_shown(ranking(0.5, 0.4), 0, 0) == []
    table = ranking(np.nan, np.nan, status="unlabelled")
    assert choose_shown(table, 3, 0) == [("sample", "i00"), ("sample", "i01")]
    assert choose_shown(table.assign(status="quarantined"), 3, 0) == []


def test_best_and_worst_are_those_of_the_overview_also_where_scores_are_equal():
    table = ranking(*[0.5] * 12)
    overview, shown = choose_cases(table, 3), choose_shown(table, 3, 0)
    for kind in ("best", "worst"):
        named = [{name for group, name in chosen if group == kind} for chosen in (overview, shown)]
        assert named[0] == named[1]


@pytest.mark.parametrize("name", ["lung", "heart"])
def test_the_outline_of_a_mask_encloses_it(name):
    mask = phantom_arrays(3, (200, 180))[1][name].astype(np.uint8)
    found = filled_path(outline(mask), mask.shape)
    wanted = np.kron(mask, np.ones((8, 8), np.uint8))
    assert (found & wanted).sum() / (found | wanted).sum() > 0.985


def test_holes_single_pixels_edges_and_empty_masks():
    ring = np.ones((9, 9), np.uint8)
    ring[3:6, 3:6] = 0
    assert outline(ring).count("M") == 2
    middle = filled_path(outline(ring), ring.shape)[36, 36]
    assert middle == 0
    dot = np.zeros((5, 5), np.uint8)
    dot[2, 2] = 1
    assert filled_path(outline(dot), dot.shape)[20, 20] == 1
    assert outline(np.zeros((4, 4), np.uint8)) == ""


def test_a_picture_is_at_most_512_pixels_and_its_outlines_fit_it():
    image = np.tile(np.arange(0, 250, 0.25).astype(np.uint8), (700, 1))
    bits = np.zeros((700, 1000), np.uint8)
    bits[350:, 500:] = 2
    shown = draw("worst", "a", (image, bits, bits), ["lung", "heart"])
    assert (shown.rows, shown.columns) == (358, LONGEST_SIDE)
    data = np.frombuffer(base64.b64decode(shown.image), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).shape == (358, 512)
    assert shown.reference[0] == ""
    right = [float(point.split()[0]) for point in shown.reference[1].strip("MZ").split("L")]
    assert 255 <= min(right) <= 257
    assert max(right) > 511
