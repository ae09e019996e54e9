"""Outlines of masks, drawn again."""

import numpy as np
import pytest
from scipy import ndimage

from segpipe.interop.labelme import outlines
from segpipe.masks import outlines as polygons


def drawn_again(mask, tolerance=0.0):
    return polygons.fill(outlines(mask, tolerance), mask.shape).astype(bool)


def mask_of(text):
    return np.array([[character == "#" for character in line] for line in text.split()])


@pytest.mark.parametrize(
    "mask",
    [
        mask_of("."),
        mask_of("#"),
        mask_of("### ### ###"),
        mask_of("### #.# ###"),
        mask_of("#. .#"),
        mask_of(".#. #.# .#."),
        mask_of("##### #...# #.#.# #...# #####"),  # an island in a hole
        mask_of("####### #.#.#.# ####### #.....# #######"),  # several holes
        mask_of("##.## ##.##"),
    ],
    ids=["empty", "one pixel", "all", "hole", "diagonal", "ring", "island", "holes", "pieces"],
)
def test_small_masks_come_back_to_the_pixel(mask):
    assert (drawn_again(mask) == mask).all()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("smooth", [0, 1, 4])
def test_random_masks_come_back_to_the_pixel(seed, smooth):
    noise = np.random.default_rng(seed).normal(size=(67, 45))
    mask = ndimage.gaussian_filter(noise, smooth) > 0
    assert (drawn_again(mask) == mask).all()


def test_a_hole_belongs_to_the_outline_around_it():
    assert len(outlines(mask_of("### #.# ###"))) == 1


def test_a_straight_edge_has_no_points_between_its_ends():
    assert len(outlines(np.ones((50, 40), bool))[0]) == 8  # corners are cut by half a pixel


def test_with_a_tolerance_there_are_fewer_points_and_nearly_the_same_pixels():
    rows, columns = np.mgrid[:400, :300]
    mask = ((rows - 200) / 150) ** 2 + ((columns - 140) / 90) ** 2 < 1
    mask &= ~(((rows - 180) / 30) ** 2 + ((columns - 150) / 20) ** 2 < 1)
    again = drawn_again(mask, 1.0)
    assert 0.985 < (mask & again).sum() / (mask | again).sum() < 1
    assert not (again & ~ndimage.binary_dilation(mask, iterations=2)).any()
    assert len(outlines(mask, 1.0)[0]) * 5 < len(outlines(mask)[0])
