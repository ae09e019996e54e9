"""Near duplicates: the search against brute force, and what counts as nearly the same picture."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segpipe.dataset.duplicates import LOW_BITS, explained, find_near, hash_words
from segpipe.demo.render import phantom_arrays
from segpipe.preprocess.quality import perceptual_hash

BITS, FIT = 60, 0.99


def phantom(number):
    pixels, _ = phantom_arrays(number, (192, 160))
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def small(picture):
    return cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)


def near(pictures, **options):
    thumbnails = np.stack([small(picture) for picture in pictures])
    return find_near(hash_words([perceptual_hash(item) for item in thumbnails]), thumbnails, BITS, FIT, **options)


def jpeg(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=75)
    return np.array(Image.open(buffer))


COPIES = {
    "JPEG of quality 75": jpeg,
    "half the size": lambda picture: cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brighter by a tenth": lambda picture: np.clip(picture * 1.1, 0, 255).astype(np.uint8),
    "darker by a tenth": lambda picture: np.clip(picture - 25.0, 0, 255).astype(np.uint8),
    "less contrast": lambda picture: (picture * 0.9 + 12).astype(np.uint8),
    "cropped by 1 % on each side": lambda picture: picture[2:-2, 2:-2],
    "cropped on one side": lambda picture: picture[3:, 2:],
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_changed_copy_is_a_near_duplicate(kind):
    pictures = [phantom(number) for number in range(3)]
    found = near([*pictures, COPIES[kind](pictures[1])])
    assert found.partner.tolist() == [-1, -1, -1, 1]


def test_different_patients_are_not_near_duplicates():
    assert (near([phantom(number) for number in range(8)]).partner == -1).all()


def test_a_flat_picture_is_nearly_nothing():
    flat = np.full((32, 32), 9, np.uint8)
    assert explained(small(phantom(0)), flat[None])[0] == 0
    assert (near([flat, flat + 1, small(phantom(0))]).partner == -1).all()


def test_pairs_across_folds_are_found_behind_a_nearer_one_of_the_same_fold():
    picture = phantom(0)
    found = near([picture, jpeg(picture), COPIES["half the size"](picture)], groups=np.array([0, 1, 1]))
    assert found.partner.tolist() == [-1, 0, 0]
    assert found.across.tolist() == [-1, 0, 0]
    found = near([picture, jpeg(picture), COPIES["half the size"](picture)], groups=np.array([0, 0, 1]))
    assert found.across.tolist() == [-1, -1, 0]
    found = near([picture, jpeg(picture), COPIES["half the size"](picture)], groups=np.array([-1, 0, 1]))
    assert found.partner.tolist() == [-1, 0, 0]
    assert found.across.tolist() == [-1, -1, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(0, 80))
def test_the_search_finds_what_brute_force_finds(seed, count, bits):
    random = np.random.default_rng(seed)
    originals = random.integers(0, 2**64, (4, 4), dtype=np.uint64)
    words = originals[random.integers(0, 4, count)]
    for flips in random.integers(0, 256, (int(random.integers(0, 60)), count)):
        words[np.arange(count), flips // 64] ^= np.uint64(1) << (flips % 64).astype(np.uint64)
    groups = random.integers(-1, 3, count)
    thumbnails = np.broadcast_to(small(phantom(0)), (count, 32, 32))  # all fit, so that the hashes decide
    found = find_near(words, thumbnails, bits, FIT, groups)

    def close(first, second):
        apart = [int(a ^ b).bit_count() for a, b in zip(words[first], words[second], strict=True)]
        return sum(apart) <= bits and apart[0] <= bits // LOW_BITS

    def across(first, second):
        return groups[first] != groups[second] and min(groups[first], groups[second]) >= 0

    for index in range(count):
        before = [other for other in range(index) if close(other, index)]
        assert found.partner[index] == next(iter(before), -1)
        assert found.across[index] == next((other for other in before if across(other, index)), -1)


def test_hashes_are_read_in_the_order_of_their_digits():
    words = hash_words(["0" * 15 + "1" + "0" * 48, "f" * 64])
    assert words.tolist() == [[1, 0, 0, 0], [2**64 - 1] * 4]
