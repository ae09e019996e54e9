import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segpipe.config import Predict
from segpipe.predict.postprocess import fill_holes, keep_large_pieces, masks_of, postprocessing, tidied
from segpipe.preprocess.geometry import plan_fit
from segpipe.preprocess.monai_transforms import RestoreGeometryd


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


# Pieces of 6, 3 and 1 pixels.
PIECES = mask(
    "###....",
    "###...#",
    ".....##",
    "#......",
)


@pytest.mark.parametrize(
    ("smallest", "kept"),
    [(0.0, 10), (1 / 6, 10), (0.17, 9), (0.5, 9), (0.51, 6), (1.0, 6)],
)
def test_pieces_below_a_share_of_the_largest_go(smallest, kept):
    result = keep_large_pieces(PIECES, smallest)
    assert np.count_nonzero(result) == kept
    assert not (result & ~PIECES).any()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (("....", "...."), ("....", "....")),  # nothing at all
        (("####", "####"), ("####", "####")),  # everything
        (("#...", ".#..", "..#."), ("#...", ".#..", "..#.")),  # corners hold together
        (("#.#.", "....", "#..."), ("#.#.", "....", "#...")),  # all of one size are largest
        (("##.#",), ("##..",)),
    ],
)
def test_the_largest_piece_is_left(picture, expected):
    np.testing.assert_array_equal(keep_large_pieces(mask(*picture), 1.0), mask(*expected))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ((".....", ".....", "....."), (".....", ".....", ".....")),
        (("#####", "#...#", "#####"), ("#####", "#####", "#####")),
        ((".###.", ".#.#.", ".###."), (".###.", ".###.", ".###.")),
        (("#####", "#...#", "###.#"), ("#####", "#...#", "###.#")),  # reaches the edge
        (("###.", "#.#.", "##.."), ("###.", "###.", "##..")),  # a way through a corner is none
        (("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"), ("#######",) * 7),
        (("#.#", "...", "#.#"), ("#.#", "...", "#.#")),
    ],
)
def test_holes_are_what_reaches_no_edge(picture, expected):
    np.testing.assert_array_equal(fill_holes(mask(*picture)), mask(*expected))


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_filling_agrees_with_flooding_from_outside(picture):
    outside = np.pad(picture, 1).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2, flags=4)
    np.testing.assert_array_equal(fill_holes(picture), outside[1:-1, 1:-1] != 2)
    np.testing.assert_array_equal(fill_holes(fill_holes(picture)), fill_holes(picture))


RING = mask("#####", "#...#", "#.#.#", "#...#", "#####")
DOT = mask(".....", ".....", "..#..", ".....", ".....")


@pytest.mark.parametrize(
    ("smallest", "fill", "removed", "filled", "pixels"),
    [(0, False, 0, 0, 17), (0.5, False, 1, 0, 16), (0, True, 0, 8, 25), (0.5, True, 1, 9, 25)],
)
def test_pieces_go_before_holes_are_filled_and_both_are_counted(smallest, fill, removed, filled, pixels):
    found = tidied(RING[np.newaxis], smallest, fill, exclusive=False)
    assert (found.removed_pixels, found.filled_pixels) == (removed, filled)
    assert np.count_nonzero(found.mask) == pixels


def test_in_a_label_image_a_hole_is_filled_only_where_no_other_class_is():
    classes = np.stack([RING & ~DOT, DOT])
    exclusive = tidied(classes, 0, True, exclusive=True)
    assert exclusive.filled_pixels == 8
    assert not exclusive.mask.all(axis=0).any()
    assert tidied(classes, 0, True, exclusive=False).filled_pixels == 9


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_pipeline_of_monai_gives_the_same(exclusive):
    probability = np.random.default_rng(0).random((2, 64, 64), np.float32)
    geometry, predict = plan_fit((100, 70), 64, "letterbox"), Predict(smallest_island=0.1, fill_holes=True)
    found = postprocessing(predict, exclusive)({"probability": probability, "geometry": geometry, "name": "x"})
    wanted = masks_of(probability, geometry, predict, exclusive)
    np.testing.assert_array_equal(found["mask"], wanted.mask)
    assert (found["removed_pixels"], found["filled_pixels"]) == (wanted.removed_pixels, wanted.filled_pixels)
    assert found["name"] == "x"
    restored = RestoreGeometryd("probability")({"probability": probability, "geometry": geometry})["probability"]
    whole = Predict()
    assert wanted.removed_pixels > 0
    above = masks_of(probability, geometry, whole, exclusive=False).mask
    np.testing.assert_array_equal(above, restored >= whole.threshold)
