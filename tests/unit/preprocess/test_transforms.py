import cv2
import numpy as np
import pytest
from monai.transforms import Compose, RandFlipd

from segpipe.config import Dicom, MonaiTransform, Preprocess
from segpipe.errors import ConfigError, ImageError
from segpipe.preprocess.monai_transforms import Fitd, RestoreGeometryd, monai_transform
from segpipe.preprocess.read import reason
from segpipe.preprocess.transforms import load_radiograph, load_reference, preprocessing, window_intensity


@pytest.fixture
def files(tmp_path):
    """An asymmetric picture, 60 rows by 90 columns, bright in its upper right, with a mask there."""
    picture = np.zeros((60, 90), np.uint8)
    picture[:, ::3] = 40
    picture[5:25, 60:85] = 200
    mask = np.zeros((60, 90), np.uint8)
    mask[5:25, 60:85] = 255
    cv2.imwrite(str(tmp_path / "image.png"), picture)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return {"image": tmp_path / "image.png", "mask_files": {"": tmp_path / "mask.png"}, "invert": None}


def test_files_become_the_networks_input_in_the_pictures_orientation(files):
    data = preprocessing({"lung": None}, "quarantine", Preprocess(size=96, percentiles=(0, 100)), Dicom())(files)
    assert data["image"].shape == (1, 96, 96)
    assert data["image"].dtype == np.uint8
    geometry = data["geometry"]
    assert (geometry.fitted_rows, geometry.fitted_columns, geometry.pad_top) == (64, 96, 16)
    assert data["mask"].shape == (1, 96, 96)
    bright = data["image"][0] > 127
    overlap = bright & (data["mask"][0] > 0)
    assert overlap.sum() / (bright | (data["mask"][0] > 0)).sum() > 0.9
    assert data["mask"][0, 16 + 10, 75] == 1
    assert data["mask"][0, 16 + 50, 10] == 0
    assert (data["image"][0, :16] == 0).all()


def test_without_mask_files_there_is_no_mask(files):
    data = preprocessing({"lung": None}, "quarantine", Preprocess(size=64), Dicom())({**files, "mask_files": {}})
    assert "mask" not in data


def test_the_sheet_can_turn_the_polarity_over(files):
    compose = preprocessing({"lung": None}, "quarantine", Preprocess(size=96, percentiles=(0, 100)), Dicom())
    upright, turned = compose(files), compose({**files, "invert": True})
    inside = upright["geometry"].inside
    total = upright["image"][0][inside].astype(int) + turned["image"][0][inside]
    assert abs(total - 255).max() <= 2  # the resize rounds, then the window does
    assert turned["decisions"].invert_source == "sheet"


def test_the_geometry_is_inverted_by_monais_own_inverse(files):
    compose = Compose([Fitd(size=96)])
    picture = np.random.default_rng(0).random((1, 60, 90), np.float32)
    mask = (np.arange(60 * 90).reshape(1, 60, 90) % 90 > 40).astype(np.uint8)
    fitted = compose({"image": picture, "mask": mask})
    assert fitted["image"].shape == (1, 96, 96)
    back = compose.inverse(fitted)
    assert back["image"].shape == (1, 60, 90)
    np.testing.assert_array_equal(back["mask"], mask)
    restored = RestoreGeometryd(keys="image")({"image": fitted["image"], "geometry": fitted["geometry"]})
    np.testing.assert_array_equal(restored["image"], back["image"])


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_monais_compose_of_the_steps_gives_the_same_bytes(files, fit, dtype):
    wanted = Preprocess(size=96, fit=fit, dtype=dtype)
    plain = preprocessing({"lung": None}, "quarantine", wanted, Dicom())(files)
    compose = Compose(
        [
            load_radiograph,
            lambda data: load_reference(data, {"lung": None}, "quarantine"),
            Fitd(size=96, fit=fit),
            lambda data: window_intensity(data, wanted, Dicom()),
        ]
    )
    composed = compose(files)
    for key in ("image", "mask"):
        assert composed[key].dtype == plain[key].dtype
        np.testing.assert_array_equal(composed[key], plain[key])
    assert composed["window"] == plain["window"]
    assert composed["geometry"] == plain["geometry"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_listed_transform_that_changes_nothing_changes_no_byte(files, dtype):
    plain = Preprocess(size=96, dtype=dtype)
    listed = Preprocess(size=96, dtype=dtype, transforms=[MonaiTransform(name="Identityd", keys="image")])
    one, two = (preprocessing({"lung": None}, "quarantine", wanted, Dicom())(files) for wanted in (plain, listed))
    np.testing.assert_array_equal(one["image"], two["image"])
    np.testing.assert_array_equal(one["mask"], two["mask"])


def test_any_monai_intensity_transform_can_join(files):
    plain = Preprocess(size=96)
    smooth = Preprocess(size=96, transforms=[MonaiTransform(name="GaussianSmoothd", keys="image", sigma=3.0)])
    results = [
        preprocessing({"lung": None}, "quarantine", wanted, Dicom())(files)["image"] for wanted in (plain, smooth)
    ]
    assert results[1].dtype == np.uint8
    assert (
        np.abs(np.diff(results[1].astype(int), axis=2)).mean()
        < 0.5 * np.abs(np.diff(results[0].astype(int), axis=2)).mean()
    )


def test_a_spatial_transform_there_costs_the_row_with_a_reason(files):
    wanted = Preprocess(size=96, transforms=[MonaiTransform(name="Resized", keys="image", spatial_size=[50, 50])])
    with pytest.raises(RuntimeError) as caught:
        preprocessing({"lung": None}, "quarantine", wanted, Dicom())(files)
    assert "left (1, 50, 50)" in reason(caught.value)
    assert isinstance(caught.value.__cause__, ImageError)


def test_a_random_transform_there_is_refused():
    wanted = Preprocess(transforms=[MonaiTransform(name="RandGaussianNoised", keys="image", prob=1.0)])
    with pytest.raises(ConfigError, match=r"RandGaussianNoised is random.*train\.augment"):
        preprocessing({"lung": None}, "quarantine", wanted, Dicom())


def test_unknown_transforms_and_arguments_are_config_errors():
    assert isinstance(monai_transform(MonaiTransform(name="RandFlipd", keys="image", prob=0.5)), RandFlipd)
    with pytest.raises(ConfigError, match="no transform 'RandFlop'"):
        monai_transform(MonaiTransform(name="RandFlop"))
    with pytest.raises(ConfigError, match="RandFlipd does not take"):
        monai_transform(MonaiTransform(name="RandFlipd", keys="image", probability=1))
