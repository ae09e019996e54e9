import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segpipe.config import Dicom, Preprocess
from segpipe.errors import ImageError
from segpipe.images.types import Decisions, Radiograph
from segpipe.preprocess.intensity import Window, apply_window, choose_window, percentiles


def radiograph(pixels, value_range=(0, 255), display_range=None, voi="none"):
    return Radiograph(pixels, value_range, display_range, Decisions(format="PNG", bits_stored=8, voi=voi))


RAMP = np.arange(200, dtype=np.uint8).reshape(10, 20)


def test_percentiles_are_recorded_where_the_file_prescribes_nothing():
    window = choose_window(radiograph(RAMP), RAMP, Preprocess(percentiles=(1, 99)), Dicom())
    assert window == Window(1, 197, "percentiles")


def test_the_files_own_window_wins_and_none_means_the_declared_range():
    voi = radiograph(RAMP, display_range=(0, 65535), voi="window LINEAR 1/2")
    assert choose_window(voi, RAMP, Preprocess(), Dicom()) == Window(0, 65535, "voi")
    declared = radiograph(RAMP, value_range=(0, 1023))
    assert choose_window(declared, RAMP, Preprocess(), Dicom(voi="none")) == Window(0, 1023, "full_range")


def test_a_blank_picture_is_refused_and_a_nearly_blank_one_is_stretched():
    blank = np.full((9, 9), 3, np.uint8)
    with pytest.raises(ImageError, match="every pixel has the value 3"):
        choose_window(radiograph(blank), blank, Preprocess(), Dicom())
    nearly = blank.repeat(10, axis=0).repeat(10, axis=1)
    nearly[0, 0] = 5
    assert choose_window(radiograph(nearly), nearly, Preprocess(), Dicom()) == Window(3, 5, "extremes")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("stored", [np.uint8, np.uint16])
def test_a_window_clips_and_rounds_the_same_for_every_dtype(dtype, stored):
    picture = np.array([[0, 10, 15, 20, 200]], dtype)
    top = np.iinfo(stored).max
    result = apply_window(picture, Window(10, 20, "x"), np.dtype(stored))
    assert result.dtype == stored
    assert result.tolist() == [[0, 0, round(top / 2), top, top]]


@given(arrays(np.uint16, (7, 5)), st.floats(0, 49), st.floats(51, 100))
def test_the_histogram_gives_numpys_inverted_cdf(picture, low, high):
    expected = np.percentile(picture.astype(np.float64), (low, high), method="inverted_cdf")
    found = percentiles(picture, (low, high))
    assert found[1] == expected[1]
    assert found[0] == (picture.min() if low * picture.size < 100 else expected[0])
