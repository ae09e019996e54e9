import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.preprocess.geometry import fit_mask, fit_picture, pad, plan_fit, restore

SIZES = st.tuples(st.integers(1, 400), st.integers(1, 400))


def test_letterbox_keeps_the_aspect_ratio_and_centres():
    geometry = plan_fit((400, 200), 128, "letterbox")
    assert (geometry.fitted_rows, geometry.fitted_columns) == (128, 64)
    assert (geometry.pad_top, geometry.pad_left) == (0, 32)
    assert geometry.scale_row == geometry.scale_column == 0.32


def test_stretch_fills_the_square():
    geometry = plan_fit((400, 200), 128, "stretch")
    assert (geometry.fitted_rows, geometry.fitted_columns, geometry.pad_top, geometry.pad_left) == (128, 128, 0, 0)


def test_shrinking_averages_areas():
    picture = np.array([[0, 100, 10, 30], [100, 200, 20, 40]], np.uint8)
    geometry = plan_fit((2, 4), 2, "letterbox")
    assert fit_picture(picture, geometry).tolist() == [[100, 25]]


def test_a_picture_that_fits_is_left_alone():
    picture = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    geometry = plan_fit((64, 64), 64, "letterbox")
    assert fit_picture(picture, geometry) is picture
    assert pad(picture, geometry) is picture


def test_stretching_one_axis_and_shrinking_the_other_uses_each_ones_method():
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.float32)[np.newaxis], 10, axis=0)
    geometry = plan_fit((10, 100), 50, "stretch")
    fitted = fit_picture(ramp, geometry)
    assert fitted.shape == (50, 50)
    np.testing.assert_allclose(fitted[25], np.arange(1, 200, 4), atol=1e-3)


@given(shape=SIZES, fit=st.sampled_from(["letterbox", "stretch"]))
@settings(max_examples=60, deadline=None)
def test_every_size_fits_and_comes_back(shape, fit):
    geometry = plan_fit(shape, 64, fit)
    square = pad(fit_picture(np.full(shape, 7, np.uint8), geometry), geometry)
    assert square.shape == (64, 64)
    assert (square[geometry.inside] == 7).all()
    assert square.sum() == 7 * geometry.fitted_rows * geometry.fitted_columns
    assert restore(square.astype(np.float32), geometry).shape == shape


@given(shape=st.tuples(st.integers(40, 300), st.integers(40, 300)), fit=st.sampled_from(["letterbox", "stretch"]))
@settings(max_examples=40, deadline=None)
def test_the_way_back_is_not_shifted(shape, fit):
    """A linear ramp survives fitting and restoring except at the border, where there is nothing to interpolate."""
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    ramp = (rows + 2 * columns).astype(np.float32)
    geometry = plan_fit(shape, 64, fit)
    back = restore(pad(fit_picture(ramp, geometry), geometry), geometry)
    margin = 2 + int(max(1 / geometry.scale_row, 1 / geometry.scale_column, 1))
    inner = (slice(margin, -margin), slice(margin, -margin))
    assert np.abs(back - ramp)[inner].max() < 0.75 * (1 / geometry.scale_row + 2 / geometry.scale_column)
    assert abs(float((back - ramp)[inner].mean())) < 0.1 * margin


def test_a_mask_pixel_is_set_where_half_its_area_is():
    mask = np.zeros((4, 4), np.uint8)
    mask[0, :2] = 1  # half of the first block
    mask[2, 2] = 1  # a quarter of the last one
    assert fit_mask(mask, plan_fit((4, 4), 2, "letterbox")).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_a_disc_comes_back_nearly_as_it_was(fit):
    rows, columns = np.ogrid[:300, :420]
    disc = ((rows - 150) / 90) ** 2 + ((columns - 200) / 120) ** 2 < 1
    geometry = plan_fit(disc.shape, 128, fit)
    back = restore(fit_mask(disc, geometry).astype(np.float32), geometry) >= 0.5
    assert (back & disc).sum() / (back | disc).sum() > 0.97
