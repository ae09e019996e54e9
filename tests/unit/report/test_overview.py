"""The overview picture exists and is the same every time, however few images there are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segpipe.demo.render import phantom_arrays
from segpipe.report.cases import GROUPS, Case, Group, choose_cases
from segpipe.report.overview import write_overview


def case(group: Group, seed: int, shape: tuple[int, int] = (90, 80)) -> Case:
    pixels, masks = phantom_arrays(seed, shape)
    bits = masks["lung"].astype(np.uint8) | (masks["heart"].astype(np.uint8) << 1)
    image = np.rint(pixels * 255).astype(np.uint8)
    return Case(group, f"image{seed}", 0.9 - seed / 10, image, bits, np.roll(bits, 3, axis=1))


def draw(cases: list[Case], path: Path, scored: int, title: str = "Demo") -> Image.Image:
    mean = 0.8 if scored else None
    write_overview(cases, path, classes=["lung", "heart"], title=title, scored=scored, mean_miou=mean)
    with Image.open(path) as picture:
        picture.load()
    return picture


def ranking(*scores: float) -> pd.DataFrame:
    ids = [f"i{index:02d}" for index in range(len(scores))]
    return pd.DataFrame({"image_id": ids, "status": "scored", "miou": list(scores)})


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_picture_is_written_for_any_number_of_images(tmp_path: Path, count: int) -> None:
    cases = [case(group, seed) for seed, group in enumerate(GROUPS[:count])]
    picture = draw(cases, tmp_path / "overview.png", scored=count)
    assert picture.format == "PNG"
    assert min(picture.size) >= 150
    assert len(set(picture.convert("L").tobytes())) > 10  # not blank


def test_the_same_images_give_the_same_bytes_without_versions(tmp_path: Path) -> None:
    cases = [case("best", 1), case("worst", 2)]
    pictures = [draw(cases, tmp_path / name, scored=2) for name in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not {"Software", "Creation Time", "date"} & set(pictures[0].info)


def test_empty_and_full_masks_and_texts_with_dollars_are_drawn(tmp_path: Path) -> None:
    image = np.zeros((40, 60), np.uint8)
    empty, full = np.zeros((40, 60), np.uint8), np.full((40, 60), 3, np.uint8)
    cases = [
        Case("best", "a$b$" + "x" * 100, 1.0, image, empty, empty),
        Case("best", "c", 0.0, image, full, empty),
    ]
    assert draw(cases, tmp_path / "overview.png", scored=2, title="costs $5_^").size


def test_images_larger_than_shown_are_drawn(tmp_path: Path) -> None:
    assert draw([case("median", 4, (700, 600))], tmp_path / "overview.png", scored=1).size


def test_best_median_and_worst_are_chosen_without_repeats() -> None:
    chosen = choose_cases(ranking(*np.linspace(0, 1, 11)), each=2)
    assert chosen == [
        ("best", "i10"),
        ("best", "i09"),
        ("median", "i06"),
        ("median", "i05"),
        ("worst", "i01"),
        ("worst", "i00"),
    ]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [("best", "i00")]),
        (2, [("best", "i01"), ("worst", "i00")]),
        (3, [("best", "i02"), ("median", "i01"), ("worst", "i00")]),
        (5, [("best", "i04"), ("median", "i02"), ("worst", "i00")]),
    ],
)
def test_few_images_are_shared_out(count: int, expected: list[tuple[str, str]]) -> None:
    assert choose_cases(ranking(*np.linspace(0.1, 0.9, count))) == expected


def test_equal_scores_go_by_name_whatever_the_order_of_rows() -> None:
    table = ranking(0.5, 0.5, 0.5)
    assert choose_cases(table) == choose_cases(table[::-1]) == [("best", "i00"), ("median", "i01"), ("worst", "i02")]


def test_images_without_a_score_are_not_chosen() -> None:
    table = ranking(0.5, 0.6).assign(status=["scored", "quarantined"])
    assert choose_cases(table) == [("best", "i00")]
