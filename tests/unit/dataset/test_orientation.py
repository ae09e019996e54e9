import numpy as np

from segpipe.dataset.flags import orientation_gain, turned
from tests.unit.dataset.test_duplicates import phantom, small

UPRIGHT = np.stack([small(phantom(number)) for number in range(14)])


def test_pictures_that_lie_like_the_others_gain_nothing():
    assert (orientation_gain(UPRIGHT, 0.2) < 0.05).all()


def test_turned_pictures_stand_out_even_when_they_are_many():
    pictures = UPRIGHT.copy()
    for index, side in ((2, 1), (5, 2), (9, 3), (11, 1)):
        pictures[index] = turned(UPRIGHT[index])[side]
    assert np.flatnonzero(orientation_gain(pictures, 0.2) > 0.2).tolist() == [2, 5, 9, 11]


def test_few_pictures_have_no_usual_orientation():
    assert np.isnan(orientation_gain(UPRIGHT[:9], 0.2)).all()


def test_a_flat_picture_does_not_spoil_the_mean():
    pictures = np.concatenate([UPRIGHT, np.full((1, 32, 32), 7, np.uint8)])
    gains = orientation_gain(pictures, 0.2)
    assert gains[-1] == 0
    assert (gains[:-1] < 0.05).all()


def test_the_eight_orientations_differ():
    sides = turned(np.arange(16).reshape(4, 4))
    assert len({side.tobytes() for side in map(np.ascontiguousarray, sides)}) == 8
    assert (sides[0] == np.arange(16).reshape(4, 4)).all()


def test_a_negative_is_not_taken_for_a_turned_picture():
    pictures = UPRIGHT.copy()
    pictures[3] = 255 - pictures[3]
    assert orientation_gain(pictures, 0.2)[3] <= 0


def test_images_without_a_common_look_have_no_usual_orientation():
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 32), dtype=np.uint8)
    assert np.isnan(orientation_gain(noise, 0.2)).all()
