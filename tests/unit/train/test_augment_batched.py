from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.train.augment import POLICIES, AugmentationPolicy, augment, blur, coarsen, draw

SIZE = 64
IDS = ["a", "b", "c", "d", "e"]


def pictures():
    """A ramp with a bright square in each of five images, and two masks that are no mirror images."""
    images = torch.linspace(0, 0.5, SIZE * SIZE).reshape(1, 1, SIZE, SIZE).repeat(len(IDS), 1, 1, 1).clone()
    masks = torch.zeros(len(IDS), 2, SIZE, SIZE)
    masks[:, 0, 10:40, 5:30], masks[:, 1, 20:50, 34:60] = 1, 1
    images[:, 0][masks[:, 0] > 0] = 1.0
    return images, masks


@pytest.mark.parametrize("name", ["light", "strong"])
def test_the_result_for_an_image_does_not_depend_on_its_batch(name):
    images, masks = pictures()
    for epoch in range(3):
        together = augment(images, masks, draw(POLICIES[name], 0, epoch, IDS))
        for index, image_id in enumerate(IDS):
            alone = slice(index, index + 1)
            apart = augment(images[alone], masks[alone], draw(POLICIES[name], 0, epoch, [image_id]))
            assert torch.equal(together[0][alone], apart[0])
            assert torch.equal(together[1][alone], apart[1])


def test_what_goes_in_is_left_as_it_is():
    images, masks = pictures()
    before = images.clone(), masks.clone()
    for epoch in range(4):
        augment(images, masks, draw(POLICIES["strong"], 0, epoch, IDS))
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])


def test_none_is_the_identity():
    images, masks = pictures()
    after = augment(images, masks, draw(POLICIES["none"], 0, 1, IDS))
    assert torch.equal(after[0], images)
    assert torch.equal(after[1], masks)


def test_masks_stay_masks_and_move_with_the_image():
    _images, masks = pictures()
    for epoch in range(8):
        moved = replace(POLICIES["strong"], gamma=0, contrast=0, brightness=0, blur=0, coarse=0, noise=0, erase=0)
        image, mask = augment(masks[:, :1], masks, draw(moved, 0, epoch, IDS))
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        shown, meant = image[:, 0] > 0.5, mask[:, 0] > 0
        assert (shown & meant).sum() / (shown | meant).sum() > 0.97


def test_greys_stay_between_black_and_white():
    images, masks = pictures()
    for epoch in range(8):
        after, _ = augment(images, masks, draw(POLICIES["strong"], 1, epoch, IDS))
        assert torch.isfinite(after).all()
        assert after.min() >= 0
        assert after.max() <= 1


def test_a_shift_moves_by_the_drawn_fraction_and_shows_black_beyond():
    image = torch.ones(1, 1, SIZE, SIZE)
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 30:34, 30:34] = 1
    draws = draw(AugmentationPolicy(), 0, 1, ["a"])
    draws.theta[0, 0, 2] = 2 * 8 / SIZE  # the result's columns show what lies 8 columns further right
    moved, moved_mask = augment(image, mask, draws)
    assert (moved[0, 0, :, :56] == 1).all()
    assert (moved[0, 0, :, 56:] == 0).all()
    assert torch.nonzero(moved_mask[0, 0])[0].tolist() == [30, 22]


def test_a_turn_goes_about_the_middle():
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[..., 8:12, 40:44] = 1
    draws = draw(AugmentationPolicy(), 0, 1, ["a"])
    draws.theta[0] = [[0, 1, 0], [-1, 0, 0]]
    turned, _ = augment(image, image.clone(), draws)
    # the result's upper left corner shows the picture's lower left one: a quarter turn clockwise
    assert torch.allclose(turned[0, 0], torch.from_numpy(np.rot90(image[0, 0].numpy(), -1).copy()), atol=1e-4)


def test_blur_keeps_the_mean_and_levels_an_edge():
    image = torch.zeros(1, SIZE, SIZE)
    image[:, :, SIZE // 2 :] = 1
    blurred = blur(image, 2 / SIZE)
    assert abs(float(blurred.mean()) - 0.5) < 1e-5
    assert abs(float(blurred[0, 5, SIZE // 2 - 1]) + float(blurred[0, 5, SIZE // 2]) - 1) < 1e-5
    assert 0.3 < float(blurred[0, 5, SIZE // 2 - 1]) < 0.5


def test_a_coarser_picture_has_the_same_size_and_less_detail():
    image = (torch.arange(SIZE) % 2).float().expand(1, SIZE, SIZE).clone()
    coarse = coarsen(image, 0.25)
    assert coarse.shape == image.shape
    assert float(coarse.std()) < 0.1 < float(image.std())


def test_noise_is_the_same_for_the_same_seed():
    images, masks = pictures()
    noisy = replace(AugmentationPolicy(), noise=1.0, noise_deviation=0.1)
    one, two = (augment(images, masks, draw(noisy, 0, 1, IDS))[0] for _ in range(2))
    other, _ = augment(images, masks, draw(noisy, 0, 2, IDS))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(masks, pictures()[1])
