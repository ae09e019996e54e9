import gzip

import nibabel
import numpy as np
import pytest

from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from tests.unit.images.pictures import COLUMNS, ROWS, asymmetric


def nifti_file(values: np.ndarray, zooms: tuple[float, ...] = (), unit: str = "", two: bool = False) -> bytes:
    image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image)(values, np.eye(4))
    if zooms:
        image.header.set_zooms(zooms)
    if unit:
        image.header.set_xyzt_units(unit)
    return bytes(image.to_bytes())


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_first_axis_is_the_column_without_flips(dtype: type, packed: bool, two: bool) -> None:
    picture = asymmetric(np.iinfo(dtype).max).astype(dtype)
    data = nifti_file(picture.T[:, :, None], two=two)
    radiograph = read_radiograph(gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(radiograph.pixels, picture)
    assert (radiograph.pixels.dtype, radiograph.value_range) == (dtype, (0, np.iinfo(dtype).max))
    assert radiograph.decisions.format == "NIfTI"


def test_spacing_is_given_as_rows_then_columns_where_it_can_be_trusted() -> None:
    picture = asymmetric().astype(np.uint8).T
    cases = [((0.1, 0.2), "mm", (0.2, 0.1)), ((0.1, 0.2), "unknown", (0.2, 0.1)), ((0.1, 0.2), "micron", None)]
    cases += [((1.0, 1.0), "unknown", None), ((1.0, 1.0), "mm", (1.0, 1.0)), ((99.0, 99.0), "mm", None)]
    for zooms, unit, expected in cases:
        decisions = read_radiograph(nifti_file(picture, zooms, unit)).decisions
        found = (decisions.spacing_row_mm, decisions.spacing_column_mm)
        assert found == (pytest.approx(expected) if expected else (None, None)), (zooms, unit)
        assert decisions.spacing_source == ("NIfTI" if expected else "unknown")


def test_an_undefined_unit_leaves_the_spacing_unknown() -> None:
    data = bytearray(nifti_file(asymmetric().astype(np.uint8).T, (0.1, 0.2), "mm"))
    data[123] = 5  # xyzt_units
    decisions = read_radiograph(bytes(data)).decisions
    assert (decisions.spacing_row_mm, decisions.notes) == (None, ("spacing_implausible:NIfTI",))


def test_other_types_get_the_range_that_was_found() -> None:
    for dtype in (np.int16, np.int32, np.float32, np.float64):
        radiograph = read_radiograph(nifti_file(asymmetric(4095).astype(dtype).T))
        np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
        assert (radiograph.pixels.dtype, radiograph.value_range) == (np.uint16, (0, 4095))
        assert radiograph.decisions.notes == ("value_range_measured",)
    negative = read_radiograph(nifti_file((asymmetric(4095) - 1000).astype(np.int16).T), invert=True)
    np.testing.assert_array_equal(negative.pixels, 3095 - asymmetric(4095))
    assert (negative.pixels.dtype, negative.value_range) == (np.float32, (-1000, 3095))


def test_values_that_are_not_finite_are_dark_and_noted() -> None:
    picture = asymmetric(100).astype(np.float32) + 5
    picture[0, :2] = np.nan, np.inf
    radiograph = read_radiograph(nifti_file(picture.T))
    assert radiograph.pixels[0, :2].tolist() == [5, 5]
    assert radiograph.decisions.notes[0] == f"non_finite:{2 / ROWS / COLUMNS:.4f}"


def test_volumes_complex_values_and_cut_files_are_refused() -> None:
    picture = asymmetric().astype(np.uint8).T
    whole = nifti_file(picture)
    cases = [(nifti_file(np.stack([picture] * 3, axis=2)), "not one picture"), (whole[:-50], "cut off")]
    cases += [(nifti_file(picture.astype(np.complex64)), "complex"), (gzip.compress(whole)[:-400], "cut off")]
    cases += [(gzip.compress(b"no picture at all" * 99), "holds no NIfTI"), (whole[:300], "known picture format")]
    for data, reason in cases:
        with pytest.raises(ImageError, match=reason):
            read_radiograph(data)


def test_slopes_are_applied_and_whole_numbers_stay_whole() -> None:
    stored = asymmetric(200).astype(np.int16)
    for slope, inter, dtype in ((2, 5, np.uint16), (0.5, 0, np.float32), (1, 0, np.uint16)):
        image = nibabel.Nifti1Image(stored.T, np.eye(4))
        image.header.set_slope_inter(slope, inter)
        data = bytearray(image.to_bytes())
        data[112:120] = np.array([slope, inter], "<f4").tobytes()  # scl_slope, scl_inter
        radiograph = read_radiograph(bytes(data))
        np.testing.assert_array_equal(radiograph.pixels, stored * slope + inter)
        assert radiograph.pixels.dtype == dtype


def test_both_byte_orders_give_the_machines() -> None:
    picture = asymmetric(60000).astype(np.uint16)
    for order in "<>":
        header = nibabel.Nifti1Header(endianness=order)
        header.set_data_dtype(np.uint16)
        image = nibabel.Nifti1Image(picture.T, np.eye(4), header)
        radiograph = read_radiograph(bytes(image.to_bytes()))
        np.testing.assert_array_equal(radiograph.pixels, picture)
        assert radiograph.pixels.dtype == np.uint16


def test_invert_mirrors_the_range_in_whole_numbers_and_fractions() -> None:
    high = asymmetric(25000).astype(np.int32) + 40000  # the two ends add up to more than 16 bits hold
    inverted = read_radiograph(nifti_file(high.T), invert=True)
    np.testing.assert_array_equal(inverted.pixels, 105000 - high)
    assert inverted.pixels.dtype == np.uint16
    fraction = asymmetric(100).astype(np.float32) / 8
    inverted = read_radiograph(nifti_file(fraction.T), invert=True)
    np.testing.assert_allclose(inverted.pixels, 12.5 - fraction, atol=1e-5)
    assert inverted.pixels.dtype == np.float32


def test_a_damaged_gzip_is_refused_and_several_streams_are_one_file() -> None:
    whole = nifti_file(asymmetric().astype(np.uint8).T)
    packed = gzip.compress(whole)
    wrong_checksum = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    for damaged in (wrong_checksum, packed[:-1], packed[:-8], packed[:40] + b"\xff\xff" + packed[42:]):
        with pytest.raises(ImageError, match=r"is a (gzip file|NIfTI)"):
            read_radiograph(damaged)
    for data in (packed + b"rest", gzip.compress(whole[:700]) + gzip.compress(whole[700:])):
        np.testing.assert_array_equal(read_radiograph(data).pixels, asymmetric())


def test_pixels_inside_the_header_are_refused() -> None:
    data = bytearray(nifti_file(asymmetric().astype(np.uint8).T))
    data[108:112] = np.array([0], "<f4").tobytes()  # vox_offset
    with pytest.raises(ImageError, match="header of a pair of NIfTI files, or damaged"):
        read_radiograph(bytes(data))


def test_a_header_that_is_cut_off_or_damaged_is_refused() -> None:
    data = nifti_file(asymmetric().astype(np.uint8).T, two=True)
    unknown_type = bytearray(nifti_file(asymmetric().astype(np.uint8).T))
    unknown_type[70:72] = (9999).to_bytes(2, "little")
    for damaged in (data[:400], gzip.compress(data[:400]), bytes(unknown_type)):
        with pytest.raises(ImageError, match="NIfTI whose header is damaged or cut off"):
            read_radiograph(damaged)
