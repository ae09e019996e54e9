import numpy as np
import pytest
from monai.data import get_track_meta

from segpipe.config import MonaiTransform
from segpipe.errors import ConfigError
from segpipe.train.augment_list import ListedAugmentation

TURN = MonaiTransform(name="RandRotated", keys=["image", "mask"], prob=1.0, range_x=0.3, mode=["bilinear", "nearest"])
NOISE = MonaiTransform(name="RandGaussianNoised", keys=["image"], prob=0.5)


def pictures():
    image = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    mask = np.zeros((2, 64, 64), np.uint8)
    mask[0, 10:40, 5:30], mask[1, 20:50, 30:60] = 1, 1
    return {"image": image, "mask": mask}


def test_seed_epoch_and_image_decide_and_nothing_else():
    augmentation = ListedAugmentation([TURN, NOISE], seed=3)
    first = augmentation(pictures(), "a", 1)
    np.random.seed(5)
    augmentation(pictures(), "b", 7)
    again = ListedAugmentation([TURN, NOISE], seed=3)(pictures(), "a", 1)
    np.testing.assert_array_equal(np.asarray(first["image"]), np.asarray(again["image"]))
    np.testing.assert_array_equal(np.asarray(first["mask"]), np.asarray(again["mask"]))
    others = [
        augmentation(pictures(), "a", 2),
        augmentation(pictures(), "b", 1),
        ListedAugmentation([TURN, NOISE], 4)(pictures(), "a", 1),
    ]
    for other in others:
        assert not np.array_equal(np.asarray(first["image"]), np.asarray(other["image"]))


def test_monais_global_switch_is_left_as_it_was():
    before = get_track_meta()
    ListedAugmentation([TURN], 0)(pictures(), "a", 1)
    assert get_track_meta() == before


def test_a_list_is_used():
    given = pictures()
    flip = ListedAugmentation([MonaiTransform(name="RandFlipd", keys=["image", "mask"], prob=1.0, spatial_axis=1)], 0)
    np.testing.assert_array_equal(np.asarray(flip(given, "a", 1)["image"]), given["image"][:, :, ::-1])


def test_a_list_that_spoils_the_masks_is_refused():
    blurred = [MonaiTransform(name="RandRotated", keys=["image", "mask"], prob=1.0, range_x=0.3)]
    with pytest.raises(ConfigError, match=r"mode: \[bilinear, nearest\]"):
        ListedAugmentation(blurred, 0)(pictures(), "a", 1)
    cropped = [MonaiTransform(name="RandSpatialCropd", keys=["image", "mask"], roi_size=[32, 32])]
    with pytest.raises(ConfigError, match=r"turned image of \(1, 64, 64\) into \(1, 32, 32\)"):
        ListedAugmentation(cropped, 0)(pictures(), "a", 1)
