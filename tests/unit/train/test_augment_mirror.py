import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segpipe.config import MonaiTransform
from segpipe.config.data import lone_sides, pairs_by_name, swapped_order
from segpipe.errors import ConfigError
from segpipe.train.augment_list import ListedAugmentation, RandMirrord

LUNGS = ["left_lung", "heart", "right_lung"]


def pictures(rows=6, columns=8, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    return {
        "image": draw.random((1, rows, columns), np.float32),
        "mask": draw.integers(0, 2, (classes, rows, columns), np.uint8),
    }


def mirror(classes=LUNGS, **arguments):
    entry = MonaiTransform(name="RandMirrord", **{"keys": ["image", "mask"], "prob": 1.0, **arguments})
    return ListedAugmentation([entry], seed=0, classes=classes)


def test_a_mirrored_left_lung_is_a_right_lung():
    given_ = pictures()
    result = mirror()(given_, "a", 1)
    np.testing.assert_array_equal(result["image"], given_["image"][:, :, ::-1])
    np.testing.assert_array_equal(result["mask"], given_["mask"][[2, 1, 0], :, ::-1])


def test_pairs_can_be_named_and_then_names_count_for_nothing():
    given_ = pictures()
    named = mirror(["links", "left_lung", "rechts"], pairs=[["rechts", "links"]])(given_, "a", 1)
    np.testing.assert_array_equal(named["mask"], given_["mask"][[2, 1, 0], :, ::-1])
    none = mirror(pairs=[])(given_, "a", 1)
    np.testing.assert_array_equal(none["mask"], given_["mask"][:, :, ::-1])


def test_probability_and_seed_decide():
    given_ = pictures()
    np.testing.assert_array_equal(mirror(prob=0.0)(given_, "a", 1)["image"], given_["image"])
    half = [mirror(prob=0.5)(given_, "a", epoch)["image"] for epoch in range(40)]
    mirrored = [not np.array_equal(image, given_["image"]) for image in half]
    assert 8 < sum(mirrored) < 32
    np.random.seed(9)
    again = [mirror(prob=0.5)(given_, "a", epoch)["image"] for epoch in range(40)]
    assert all(np.array_equal(one, other) for one, other in zip(half, again, strict=True))


def test_it_joins_monais_transforms_in_any_place():
    turn = MonaiTransform(name="RandRotate90d", keys=["image", "mask"], prob=1.0, max_k=1)
    flip = MonaiTransform(name="RandMirrord", prob=1.0)
    given_ = pictures(8, 8)
    result = ListedAugmentation([turn, flip, turn], 0, LUNGS)(given_, "a", 1)
    upright = np.asarray(result["mask"])[[2, 1, 0]]
    np.testing.assert_array_equal(upright, given_["mask"][:, :, ::-1])  # a mirror image turns the other way


@pytest.mark.parametrize(
    ("classes", "pairs"),
    [
        (["left_lung", "right_lung"], [("left_lung", "right_lung")]),
        (["lung_right", "heart", "lung_left"], [("lung_right", "lung_left")]),
        (["l_hip", "r_hip", "l_knee"], [("l_hip", "r_hip")]),
        (["hip_r", "hip_l"], [("hip_r", "hip_l")]),
        (["upper_left_lobe", "upper_right_lobe"], [("upper_left_lobe", "upper_right_lobe")]),
        (["lung", "heart", "bright_spot", "vertebra_l1", "skull_r2"], []),
        (["left_lung", "right_heart"], []),
    ],
)
def test_pairs_are_found_by_name(classes, pairs):
    assert pairs_by_name(classes) == pairs


def test_a_side_without_its_counterpart_cannot_be_mirrored():
    assert lone_sides(["left_lung", "heart", "bright", "hip_l"]) == ["left_lung"]
    with pytest.raises(ConfigError, match=r"RandMirrord does not take .*left_lung has a side.*pairs: \[\]"):
        mirror(["left_lung", "heart"])


@pytest.mark.parametrize("pairs", [[["left_lung", "spleen"]], [["heart", "heart"]], [["left_lung"]]])
def test_impossible_pairs_are_config_errors(pairs):
    with pytest.raises(ConfigError, match="two classes each, no class twice, out of left_lung, heart, right_lung"):
        mirror(pairs=pairs)


def test_image_and_mask_are_mirrored_together_or_not_at_all():
    with pytest.raises(ConfigError, match=r"keys must be \[image, mask\]"):
        mirror(keys="image")


@pytest.mark.parametrize(
    "flip",
    [
        {"name": "RandFlipd", "spatial_axis": 1},
        {"name": "RandFlipd", "spatial_axis": 0},
        {"name": "RandFlipd"},
        {"name": "RandFlipD", "spatial_axis": [0, 1]},
        {"name": "RandAxisFlipd"},
        {"name": "Flipd", "spatial_axis": 1},
    ],
)
def test_monais_flips_are_refused_where_classes_have_a_side(flip):
    entry = MonaiTransform(keys=["image", "mask"], **flip)
    with pytest.raises(ConfigError, match=r"Flipd flips the pictures.*left_lung and right_lung.*RandMirrord"):
        ListedAugmentation([entry], 0, LUNGS)
    with pytest.raises(ConfigError, match=r"have a side: left_lung\. In a mirror image"):
        ListedAugmentation([entry], 0, ["left_lung", "heart"])
    assert ListedAugmentation([entry], 0, ["lung", "heart"])


def test_turning_mirrors_nothing():
    turn = MonaiTransform(name="RandRotate90d", keys=["image", "mask"], prob=1.0)
    assert ListedAugmentation([turn], 0, LUNGS)


@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 99),
    classes=st.permutations(["left_lung", "right_lung", "heart", "hip_l", "hip_r"]),
)
def test_mirroring_twice_is_the_identity(rows, columns, seed, classes):
    given_ = pictures(rows, columns, 5, seed)
    twice = RandMirrord(prob=1.0, classes=classes)
    result = twice(twice(given_))
    for key in given_:
        np.testing.assert_array_equal(result[key], given_[key])
    order = swapped_order(classes, pairs_by_name(classes))
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert classes[order[classes.index("hip_l")]] == "hip_r"
