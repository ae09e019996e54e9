from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from segpipe.masks import run_lengths

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(MASKS)
def test_run_lengths_are_those_of_pycocotools_and_read_back(mask):
    text = run_lengths.encode(mask)
    assert text == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(run_lengths.decode(text, *mask.shape), mask)


@pytest.mark.parametrize("fill", [False, True])
def test_a_large_mask_of_one_value_is_a_few_characters(fill):
    mask = np.full((3000, 4000), fill)
    text = run_lengths.encode(mask)
    assert len(text) < 8
    assert text == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert (run_lengths.decode(text, 3000, 4000) == fill).all()


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=20))
def test_damaged_text_is_an_error_and_never_a_mask_of_another_size(text):
    with suppress(ValueError):
        assert run_lengths.decode(text, 6, 7).shape == (6, 7)


@pytest.mark.parametrize("text", ["", "P", "1" * 3, "é1", "\x00"])
def test_what_does_not_fill_the_picture_is_refused(text):
    with pytest.raises(ValueError, match="run lengths"):
        run_lengths.decode(text, 5, 5)


@pytest.mark.parametrize("text", ["\u00ff", "\ud800", "\u221e"])
def test_characters_that_are_no_counts_are_damage(text):
    assert run_lengths.counts_of("?").tolist() == [15]
    with pytest.raises(ValueError, match="damaged run lengths"):
        run_lengths.counts_of(text)


def test_every_cut_of_a_text_is_refused():
    mask = np.random.default_rng(0).random((20, 30)) > 0.5
    text = run_lengths.encode(mask)
    for end in range(len(text)):
        with pytest.raises(ValueError, match="run lengths"):
            run_lengths.decode(text[:end], 20, 30)
