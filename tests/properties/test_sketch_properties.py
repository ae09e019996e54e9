"""Whatever the sketch of a fit refuses, the fit itself refuses: else the search would miss near duplicates."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segpipe.dataset.duplicates import SIDE, Sketches, _low_frequencies, blurred, centred, explained
from segpipe.demo.render import phantom_arrays

THUMBNAILS = arrays(np.uint8, (32, 32))
SEEDS, FITS = st.integers(0, 10_000), st.floats(0.05, 0.999)


def smooth(seed, sigma):
    """A random picture without fine detail, as thumbnails of radiographs are."""
    noise = np.random.default_rng(seed).normal(size=(32, 32))
    picture = cv2.GaussianBlur(noise, (0, 0), sigma)
    return cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moved(picture, right, down, gain, offset, noise, seed):
    """A copy that is shifted, brightened and noisy."""
    shift = np.float32([[1, 0, right], [0, 1, down]])
    copy = cv2.warpAffine(picture, shift, (32, 32), borderMode=cv2.BORDER_REPLICATE).astype(float)
    copy = copy * gain + offset + np.random.default_rng(seed).normal(0, noise, (32, 32))
    return np.clip(copy, 0, 255).astype(np.uint8)


def check(first, others, fit):
    thumbnails = np.stack([first, *others])
    allowed = Sketches(thumbnails).allow(0, np.arange(1, len(thumbnails)), fit)
    accepted = explained(first, thumbnails[1:]) >= fit
    assert not (accepted & ~allowed).any()
    return accepted, allowed


@settings(max_examples=60, deadline=None)
@given(THUMBNAILS, THUMBNAILS, FITS)
def test_of_any_pictures(first, other, fit):
    check(first, [other, first, 255 - first, np.zeros_like(first)], fit)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(1, 8), st.tuples(st.floats(-2, 2), st.floats(-2, 2)), st.floats(0.6, 1.4), FITS)
def test_of_smooth_pictures_and_their_copies(seed, sigma, shift, gain, fit):
    first = smooth(seed, sigma)
    copies = [moved(first, *shift, gain, 10, noise, seed) for noise in (0, 1, 3, 10)]
    check(first, [*copies, smooth(seed + 1, sigma)], fit)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 255), SEEDS, FITS)
def test_of_flat_pictures_and_ramps(grey, seed, fit):
    """Here what explains others has fewer dimensions than terms."""
    flat = np.full((32, 32), grey, np.uint8)
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 8, (32, 1))
    corner = flat.copy()
    corner[2:4, 2:12] = 255 - grey
    for first in (flat, ramp, ramp.T):
        check(first, [flat, ramp, ramp.T, corner, smooth(seed, 3)], fit)


def test_it_refuses_most_of_what_is_no_copy_and_allows_copies():
    pictures = [np.clip(phantom_arrays(seed, (32, 32))[0] * 255, 0, 255).astype(np.uint8) for seed in range(12)]
    copy = moved(pictures[0], 0.5, -0.5, 1.1, 3, 1, 0)
    accepted, allowed = check(pictures[0], [copy, *pictures[1:]], 0.98)
    assert allowed[0]
    assert accepted[0]
    assert allowed[1:].mean() < 0.5


def test_the_block_does_not_matter():
    thumbnails = np.stack([smooth(seed, 2) for seed in range(150)])
    sketches, others = Sketches(thumbnails), np.arange(150)
    for first in (0, 63, 64, 65, 149):
        alone = Sketches(thumbnails[first:])
        mine = sketches.allow(first, others[first:], 0.3)
        np.testing.assert_array_equal(mine, alone.allow(0, np.arange(150 - first), 0.3))


def test_the_low_frequencies_are_orthonormal_and_without_the_mean():
    space = _low_frequencies()
    np.testing.assert_allclose(space.T @ space, np.eye(35), atol=1e-12)
    np.testing.assert_allclose(space.sum(axis=0), 0, atol=1e-9)
    assert len(space) == SIDE * SIDE


@pytest.mark.parametrize("gain", [0.5, 1, 1.2])
def test_a_picture_explains_itself_at_any_brightness(gain):
    first = smooth(0, 3) // 2
    assert explained(first, (first * gain).astype(np.uint8)[np.newaxis])[0] > 0.99


def test_a_flat_picture_has_nothing_to_explain():
    flat = np.full((1, 32, 32), 7, np.uint8)
    assert explained(smooth(0, 3), flat).tolist() == [0.0]
    assert not centred(blurred(flat)).any()
