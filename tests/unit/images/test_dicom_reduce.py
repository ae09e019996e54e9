"""JPEG 2000 at a lower resolution: the same picture, in the same place, where that is sure."""

from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from segpipe.config import Dicom, Preprocess
from segpipe.errors import ImageError
from segpipe.images.dicom.codestream import parse
from segpipe.images.read import read_radiograph
from segpipe.images.types import Radiograph
from segpipe.preprocess.geometry import fit_picture, plan_fit
from segpipe.preprocess.transforms import preprocessing
from tests.unit.images.pictures import dataset_of, encoded, saved

SIZE = 64


def smooth(rows: int, columns: int, maximum: int) -> np.ndarray:
    """Waves that are long enough to be seen at an eighth of the size; asymmetric."""
    y, x = np.mgrid[:rows, :columns]
    waves = np.sin(x / 19 + 0.3) + np.cos(y / 23) + x / columns + 2 * y / rows
    return np.rint((waves - waves.min()) / np.ptp(waves) * maximum).astype(np.int64)


def stream_of(stored: np.ndarray, bits: int, signed: bool = False, levels: int = 5) -> bytes:
    values = stored.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    return imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", bitspersample=bits, reversible=True, level=0, resolutions=levels + 1
    )


def file_with(stream: bytes, dataset: Dataset, syntax: str = uid.JPEG2000Lossless) -> bytes:
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    return saved(dataset)


def wavelet_file(stored: np.ndarray, bits: int, signed: bool = False, levels: int = 5, **tags: Any) -> bytes:
    return file_with(stream_of(stored, bits, signed, levels), dataset_of(stored, bits, signed, **tags))


def target(shape: tuple[int, int]) -> tuple[int, int]:
    geometry = plan_fit(shape, SIZE, "letterbox")
    return geometry.fitted_rows, geometry.fitted_columns


def read_smaller(data: bytes, voi: Any = "none") -> Radiograph:
    return read_radiograph(data, Dicom(voi=voi, j2k_resolution="auto"), target=target)


def fitted(radiograph: Radiograph) -> np.ndarray:
    return fit_picture(radiograph.pixels, plan_fit(radiograph.shape, SIZE, "letterbox")).astype(float)


@pytest.mark.parametrize("shape", [(256, 192), (254, 187), (253, 187), (161, 128), (517, 631)])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (12, True)])
def test_the_picture_stays_in_place_and_keeps_its_greys(shape: tuple[int, int], bits: int, signed: bool) -> None:
    stored = smooth(*shape, 2**bits - 1) - (2 ** (bits - 1) if signed else 0)
    data = wavelet_file(stored, bits, signed)
    full, smaller = read_radiograph(data, Dicom(voi="none")), read_smaller(data)
    scale = smaller.decisions.decoded_at
    assert scale == {256: 4, 254: 4, 253: 2, 161: 2, 517: 8}[shape[0]]
    assert smaller.shape == full.shape == shape
    assert smaller.pixels.shape == (-(-shape[0] // scale), -(-shape[1] // scale))
    assert smaller.pixels.dtype == full.pixels.dtype
    assert smaller.decisions.notes == ()
    wrong = np.abs(fitted(smaller) - fitted(full)) / 2**bits
    assert wrong[2:-2, 2:-2].mean() < 0.005  # the wavelet rounds down at each level: one of 256 greys
    assert wrong.max() < 0.02
    # a shift by a quarter of a pixel of the fitted picture would be seen
    aside = cv2.warpAffine(fitted(full), np.array([[1, 0, 0.25], [0, 1, 0.25]]), fitted(full).shape[::-1])
    assert np.abs(aside - fitted(full))[2:-2, 2:-2].mean() / 2**bits > 2 * wrong[2:-2, 2:-2].mean()


def test_levels_are_those_that_the_codestream_has_and_the_target_allows() -> None:
    stored = smooth(600, 520, 4095)
    for levels, scale in ((0, 1), (1, 2), (2, 4), (5, 8)):
        assert read_smaller(wavelet_file(stored, 12, levels=levels)).decisions.decoded_at == scale
    assert read_smaller(wavelet_file(smooth(100, 90, 4095), 12)).decisions.decoded_at == 1


@pytest.mark.parametrize(("rows", "scale"), [(512, 8), (513, 2), (514, 4), (515, 4), (516, 8), (519, 8)])
def test_a_size_that_the_decoder_would_round_otherwise_than_the_codestream_is_decoded_at_a_larger_one(
    rows: int, scale: int
) -> None:
    radiograph = read_smaller(wavelet_file(smooth(rows, 512, 255), 8))
    assert radiograph.decisions.decoded_at == scale
    assert radiograph.decisions.notes == ()


@pytest.mark.parametrize("maximum", [255, 65535])
def test_tiles_of_high_throughput_jpeg_2000_are_put_together(maximum: int) -> None:
    stored = smooth(250, 190, maximum)
    values = stored.astype(np.uint8 if maximum == 255 else np.uint16)
    dataset = dataset_of(stored, 8 * values.itemsize)
    data = file_with(imagecodecs.htj2k_encode(values, tile=(80, 48), resolutions=3), dataset, uid.HTJ2KLossless)
    full, smaller = read_radiograph(data, Dicom(voi="none")), read_smaller(data)
    np.testing.assert_array_equal(full.pixels, stored)
    assert smaller.decisions.decoded_at == 2
    assert np.abs(fitted(smaller) - fitted(full)).max() < 0.02 * maximum


def test_a_picture_with_an_offset_is_decoded_at_its_own_resolution() -> None:
    stored = smooth(256, 192, 255)
    options = {"no_jp2": True, "offset": (1, 3), "tile_size": (512, 512), "num_resolutions": 4}
    stream = encoded(stored.astype(np.uint8), "JPEG2000", **options)
    codestream = parse(stream)
    assert codestream is not None
    assert not codestream.origin
    smaller = read_smaller(file_with(stream, dataset_of(stored[: codestream.rows, : codestream.columns], 8)))
    assert smaller.decisions.decoded_at == 1


@pytest.mark.parametrize("tags", [{"PixelPaddingValue": 0}, {"BitsStored": 13, "HighBit": 12}])
def test_where_interpolation_would_mix_what_does_not_belong_together_it_is_left(tags: dict[str, Any]) -> None:
    stored = smooth(256, 192, 4095)
    assert read_smaller(wavelet_file(stored, 12, **tags)).decisions.decoded_at == 1


def test_full_resolution_is_the_default() -> None:
    stored = smooth(256, 192, 4095)
    radiograph = read_radiograph(wavelet_file(stored, 12), target=target)
    np.testing.assert_array_equal(radiograph.pixels, stored)
    assert radiograph.decisions.decoded_at == 1


def test_data_that_are_missing_are_an_error_at_lower_resolutions_too() -> None:
    stored = smooth(256, 192, 4095)
    stream = stream_of(stored, 12)
    with pytest.raises(ImageError, match="cut off"):
        read_smaller(file_with(stream[: len(stream) // 2] + stream[len(stream) // 2 + 100 :], dataset_of(stored, 12)))


def test_the_pipeline_fits_a_smaller_picture_like_the_whole_one(tmp_path: Any) -> None:
    stored = smooth(517, 631, 4095)
    (tmp_path / "chest").write_bytes(wavelet_file(stored, 12, WindowCenter=2000, WindowWidth=3000))
    results = {}
    for resolution in ("full", "auto"):
        steps = preprocessing(
            {"lung": None}, "empty", Preprocess(size=SIZE), Dicom(j2k_resolution=resolution), tmp_path
        )
        results[resolution] = steps({"image": tmp_path / "chest", "invert": None, "mask_files": []})
    assert results["auto"]["decisions"].decoded_at == 8
    assert results["auto"]["shape"] == results["full"]["shape"] == (517, 631)
    assert results["auto"]["geometry"] == results["full"]["geometry"]
    difference = results["auto"]["image"].astype(int) - results["full"]["image"]
    assert np.abs(difference).max() <= 0.04 * np.iinfo(results["full"]["image"].dtype).max
