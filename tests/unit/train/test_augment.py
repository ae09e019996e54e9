import numpy as np
import pytest
from monai.data import get_track_meta

from segpipe.config import MonaiTransform
from segpipe.errors import ConfigError
from segpipe.train.augment import Augmentation
from segpipe.train.seeds import draw_seed


def pictures():
    image = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    mask = np.zeros((2, 64, 64), np.uint8)
    mask[0, 10:40, 5:30], mask[1, 20:50, 30:60] = 1, 1
    return {"image": image, "mask": mask}


def test_seed_epoch_and_image_decide_and_nothing_else():
    augmentation = Augmentation("light", 64, seed=3)
    first = augmentation(pictures(), "a", 1)
    np.random.seed(5)
    augmentation(pictures(), "b", 7)
    again = Augmentation("light", 64, seed=3)(pictures(), "a", 1)
    np.testing.assert_array_equal(np.asarray(first["image"]), np.asarray(again["image"]))
    np.testing.assert_array_equal(np.asarray(first["mask"]), np.asarray(again["mask"]))
    others = [
        augmentation(pictures(), "a", 2),
        augmentation(pictures(), "b", 1),
        Augmentation("light", 64, 4)(pictures(), "a", 1),
    ]
    for other in others:
        assert not np.array_equal(np.asarray(first["image"]), np.asarray(other["image"]))


def test_masks_stay_masks_and_move_with_the_image():
    augmentation = Augmentation("light", 64, seed=0)
    for epoch in range(8):
        bright = pictures()
        bright["image"] = bright["mask"][:1].astype(np.float32)
        result = augmentation(bright, "x", epoch)
        assert set(np.unique(result["mask"])) <= {0, 1}
        image, mask = np.asarray(result["image"])[0] > 0.45, np.asarray(result["mask"])[0] > 0
        assert (image & mask).sum() / (image | mask).sum() > 0.8


def test_monais_global_switch_is_left_as_it_was():
    before = get_track_meta()
    Augmentation("light", 64, 0)(pictures(), "a", 1)
    assert get_track_meta() == before


def test_none_leaves_pictures_alone_and_a_list_is_used():
    given = pictures()
    assert Augmentation("none", 64, 0)(given, "a", 1) is given
    flip = Augmentation([MonaiTransform(name="RandFlipd", keys=["image", "mask"], prob=1.0, spatial_axis=1)], 64, 0)
    np.testing.assert_array_equal(np.asarray(flip(given, "a", 1)["image"]), given["image"][:, :, ::-1])


def test_a_list_that_spoils_the_masks_is_refused():
    blurred = [MonaiTransform(name="RandRotated", keys=["image", "mask"], prob=1.0, range_x=0.3)]
    with pytest.raises(ConfigError, match=r"mode: \[bilinear, nearest\]"):
        Augmentation(blurred, 64, 0)(pictures(), "a", 1)
    cropped = [MonaiTransform(name="RandSpatialCropd", keys=["image", "mask"], roi_size=[32, 32])]
    with pytest.raises(ConfigError, match=r"turned image of \(1, 64, 64\) into \(1, 32, 32\)"):
        Augmentation(cropped, 64, 0)(pictures(), "a", 1)


def test_seeds_fit_numpys_generator():
    assert len({draw_seed(0, epoch, str(image)) for epoch in range(10) for image in range(10)}) == 100
    assert 0 <= draw_seed(0, 0, "") < 2**32
