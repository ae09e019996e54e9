"""Real and hostile files, where they are at hand."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from segpipe.preprocess.geometry import fit_picture, plan_fit
from tests.unit.images.pictures import SECRET


@pytest.fixture
def radiographs(shared: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """The folder of real files; afterwards nothing personal may have been printed or logged."""
    yield shared / "radiographs-dicom"
    output = capfd.readouterr()
    assert SECRET not in caplog.text + output.out + output.err


def test_one_leg_in_five_lossless_syntaxes_has_equal_pixels(radiographs: Path) -> None:
    first = read_radiograph(radiographs / "RG3_UNCR.dcm")
    assert first.pixels.shape == (1760, 1760)
    assert first.decisions.inverted
    for name in ("RLE", "JPLL", "JLSL", "J2KR"):
        other = read_radiograph(radiographs / f"RG3_{name}.dcm")
        np.testing.assert_array_equal(other.pixels, first.pixels, err_msg=name)
        assert SECRET not in repr(other.decisions)
    lossy = read_radiograph(radiographs / "RG3_J2KI.dcm").pixels.astype(int)
    assert np.abs(lossy - first.pixels).max() < 65535 * 0.02
    assert first.pixels[300:700, 900:1100].mean() > first.pixels[300:700, 500:560].mean()  # bone and air


def test_one_chest_in_two_syntaxes_has_equal_pixels_and_no_spacing(radiographs: Path) -> None:
    plain, wavelet = (read_radiograph(radiographs / f"RG1_{name}.dcm") for name in ("UNCR", "J2KR"))
    np.testing.assert_array_equal(plain.pixels, wavelet.pixels)
    assert plain.pixels.shape == (1955, 1841)
    assert plain.decisions.spacing_row_mm is None
    assert plain.decisions.notes == ("spacing_implausible:PixelSpacing",)


@pytest.mark.parametrize(("name", "scale"), [("RG1_J2KR", 2), ("RG3_J2KR", 2), ("RG3_J2KI", 2)])
def test_half_the_resolution_of_a_real_picture_shows_the_same_in_the_same_place(
    radiographs: Path, name: str, scale: int
) -> None:
    def target(shape: tuple[int, int]) -> tuple[int, int]:
        geometry = plan_fit(shape, 512, "letterbox")
        return geometry.fitted_rows, geometry.fitted_columns

    full = read_radiograph(radiographs / f"{name}.dcm", Dicom(voi="none"))
    smaller = read_radiograph(radiographs / f"{name}.dcm", Dicom(voi="none", j2k_resolution="auto"), target=target)
    assert smaller.decisions.decoded_at == scale
    assert smaller.shape == full.shape == full.pixels.shape
    geometry = plan_fit(full.shape, 512, "letterbox")
    fitted = [fit_picture(radiograph.pixels, geometry).astype(float) for radiograph in (full, smaller)]
    wrong = np.abs(fitted[1] - fitted[0]) / full.value_range[1]
    assert wrong.mean() < 0.0006  # twice that without putting the low band back into its place
    assert wrong.max() < 0.08


def test_a_wrongly_tagged_copy_follows_its_tag_and_the_sheet_puts_it_right(radiographs: Path) -> None:
    # both files hold the same stored values with bone bright, so MONOCHROME1 is a lie that no reader can see
    right, tagged = radiographs / "xrv_cr.dcm", radiographs / "Fake_MONOHR1.dcm"
    picture = read_radiograph(right)
    assert not picture.decisions.inverted
    np.testing.assert_array_equal(read_radiograph(tagged).pixels, 255 - picture.pixels)
    np.testing.assert_array_equal(read_radiograph(tagged, invert=False).pixels, picture.pixels)


@pytest.mark.parametrize("folder", ["dicom", "png"])
def test_every_hostile_file_ends_as_a_picture_or_an_error_within_two_seconds(
    shared: Path, folder: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    files = sorted((shared / "hostile" / folder).iterdir())
    assert len(files) > 50
    for file in files:
        start = time.perf_counter()
        try:
            result = repr(read_radiograph(file).decisions)
        except ImageError as error:
            result = str(error)
            assert "\n" not in result
            assert str(file.parent) not in result
        assert time.perf_counter() - start < 2, file.name
        assert SECRET not in result
    output = capfd.readouterr()
    assert SECRET not in caplog.text + output.out + output.err
