"""The picture itself: what tests and the demo's network rely on."""

import numpy as np
import pytest

from segpipe.demo.render import phantom_arrays, render


@pytest.mark.parametrize("shape", [(120, 100), (96, 150), (32, 32)])
def test_pixels_and_masks_have_the_wanted_shape_type_and_range(shape: tuple[int, int]) -> None:
    pixels, masks = phantom_arrays(5, shape)
    assert pixels.shape == shape
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0.0
    assert pixels.max() <= 1.0
    assert list(masks) == ["lung", "heart"]
    assert all(mask.shape == shape and mask.dtype == np.bool_ for mask in masks.values())


@pytest.mark.parametrize("seed", range(8))
def test_lungs_are_darker_than_the_body_around_them_and_brighter_than_air(seed: int) -> None:
    pixels, masks = phantom_arrays(seed, (240, 200))
    lung_only = masks["lung"] & ~masks["heart"]
    assert pixels[lung_only].mean() < pixels[masks["heart"]].mean() - 0.08
    assert np.percentile(pixels, 1) < pixels[lung_only].mean()


@pytest.mark.parametrize("seed", range(8))
def test_both_lungs_and_heart_lie_inside_the_picture(seed: int) -> None:
    _, masks = phantom_arrays(seed, (200, 260))
    for mask in masks.values():
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert 0.03 < mask.mean() < 0.5
        assert not border.any()


@pytest.mark.parametrize("seed", range(8))
def test_the_heart_overlaps_the_lung_more_on_the_right_of_the_picture(seed: int) -> None:
    _, masks = phantom_arrays(seed, (240, 200))
    across = np.flatnonzero(masks["lung"].any(axis=0))
    middle = (across[0] + across[-1]) // 2
    both = masks["lung"] & masks["heart"]
    assert both[:, middle:].sum() > both[:, :middle].sum()


def test_two_exposures_of_a_patient_differ_in_pose_and_agree_in_anatomy() -> None:
    first, second, stranger = (render(patient, shot, (240, 200))[1] for patient, shot in ((1, 1), (1, 2), (9, 3)))
    assert (first["lung"] != second["lung"]).any()

    def heart_share(masks: dict[str, np.ndarray]) -> float:
        return float(masks["heart"].sum() / masks["lung"].sum())

    assert heart_share(first) == pytest.approx(heart_share(second), rel=0.02)
    assert heart_share(first) != pytest.approx(heart_share(stranger), rel=0.02)
