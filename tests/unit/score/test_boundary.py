"""Rims of tiny masks by hand, and against the authors' definition written out."""

import numpy as np
import pytest
from scipy import ndimage

from segpipe.score.surface import boundary_iou, rim, rim_width
from tests.unit.score.masks import blobs, mask

FULL = np.ones((7, 7), np.uint8)


def test_a_rim_is_as_wide_as_asked_for_and_starts_at_the_pictures_edge() -> None:
    assert rim(FULL, 1).sum() == 49 - 25
    assert rim(FULL, 2).sum() == 49 - 9
    assert rim(FULL, 9).sum() == 49


def test_rims_by_hand() -> None:
    """A 5 x 5 square and the same one column to the right: rims of 16 pixels, of which they share 4 above and below."""
    one, other = np.zeros((2, 7, 8), np.uint8)
    one[1:6, 1:6] = other[1:6, 2:7] = 1
    assert boundary_iou(one, other, 1) == pytest.approx(8 / 24)
    assert boundary_iou(one, one, 1) == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"), [("..", "..", 1), ("1.", "..", 0), ("..", "1.", 0), ("1.", ".1", 0)]
)
def test_empty_masks_score_as_with_iou(prediction: str, reference: str, expected: float) -> None:
    assert boundary_iou(mask(prediction), mask(reference), 1) == expected


def test_the_width_is_a_share_of_the_diagonal_and_at_least_a_pixel() -> None:
    assert rim_width((300, 400), 0.02) == 10
    assert rim_width((3, 4), 0.02) == 1


def test_it_is_what_eroding_a_step_at_a_time_gives() -> None:
    rng = np.random.default_rng(0)
    for width in (1, 2, 5):
        one, other = blobs(rng, 40, 30), blobs(rng, 40, 30)
        rims = [
            each & ~ndimage.binary_erosion(each, np.ones((3, 3)), iterations=width)
            for each in (one.astype(bool), other.astype(bool))
        ]
        expected = (rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum()
        assert boundary_iou(one, other, width) == pytest.approx(expected)


def test_it_notices_an_outline_that_iou_hardly_does() -> None:
    down, right = np.mgrid[:200, :200]
    far = np.hypot(down - 100, right - 100)
    one, other = (far < 80).astype(np.uint8), (far < 77).astype(np.uint8)
    assert (one & other).sum() / (one | other).sum() > 0.92
    assert boundary_iou(one, other, rim_width(one.shape, 0.02)) < 0.5
