"""Headers as they are found: incomplete, mislabelled, of wrong types. Each is read right or refused with a reason."""

import re
import struct
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from segpipe.images.types import Decisions
from tests.unit.images.pictures import (
    COLUMNS,
    ROWS,
    SECRET,
    asymmetric,
    dataset_of,
    dicom_file,
    file_of,
    lut_item,
    saved,
    swapped,
)

LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")


def element(key: bytes, vr: bytes, value: bytes) -> bytes:
    """An element of Explicit VR Little Endian (PS3.5 7.1.2)."""
    return key + vr + (struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def with_element(data: bytes, keyword: str, vr: bytes, value: bytes) -> bytes:
    """The file with an element's representation and raw value replaced; of its meta information also the length."""
    tag = Tag(tag_for_keyword(keyword))
    key = struct.pack("<HH", tag.group, tag.element)
    start = data.index(key, 132)
    if data[start + 4 : start + 6] in LONG:
        end = start + 12 + int.from_bytes(data[start + 8 : start + 12], "little")
    else:
        end = start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    new = element(key, vr, value)
    if tag.group == 2:
        length = int.from_bytes(data[140:144], "little") + len(new) - (end - start)
        data = data[:140] + struct.pack("<I", length) + data[144:]
    return data[:start] + new + data[end:]


def labelled(data: bytes, syntax: str) -> bytes:
    """The file with another transfer syntax stated."""
    text = syntax.encode()
    return with_element(data, "TransferSyntaxUID", b"UI", text + b"\0" * (len(text) % 2))


def plain(**tags: Any) -> bytes:
    return dicom_file(asymmetric(4095), 12, **tags)


def read(data: bytes) -> Decisions:
    """The decisions on a file whose pixels come out as :func:`asymmetric`."""
    radiograph = read_radiograph(data)
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    return radiograph.decisions


@pytest.mark.parametrize("start", [128, 132])
def test_a_file_may_begin_after_its_preamble_or_its_prefix(start: int) -> None:
    assert read(plain()[start:]).notes == ()


def test_meta_information_without_transfer_syntax_is_noted() -> None:
    assert read(labelled(plain(), "")).notes == ("transfer_syntax_guessed",)


def test_explicit_and_implicit_files_that_are_labelled_as_the_other_are_read() -> None:
    read(labelled(plain(), uid.ImplicitVRLittleEndian))
    read(labelled(file_of(dataset_of(asymmetric(4095), 12), uid.ImplicitVRLittleEndian), uid.ExplicitVRLittleEndian))


@pytest.mark.parametrize(
    ("true", "stated", "reason"),
    [
        (uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, "nothing that can be read as Explicit VR Big Endian"),
        (uid.ExplicitVRBigEndian, uid.ExplicitVRLittleEndian, "nothing that can be read as Explicit VR Little"),
        (uid.ExplicitVRBigEndian, uid.ImplicitVRLittleEndian, "nothing that can be read as Implicit VR Little"),
        (uid.DeflatedExplicitVRLittleEndian, uid.ExplicitVRLittleEndian, "nothing that can be read as Explicit VR"),
        (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, "deflated"),
        (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, "compressed|fragments"),
        (uid.ExplicitVRLittleEndian, "1.2.3", "transfer syntax unregistered"),
        (uid.JPEG2000Lossless, uid.ExplicitVRLittleEndian, "transfer syntax is wrong"),
        (uid.JPEG2000Lossless, "1.2.3", "transfer syntax unregistered"),
    ],
)
def test_wrong_transfer_syntaxes_are_refused_with_a_reason(true: uid.UID, stated: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_radiograph(labelled(file_of(dataset_of(asymmetric(4095), 12), true), stated))


@pytest.mark.parametrize("true", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless])
@pytest.mark.parametrize("stated", [uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless])
def test_a_codestream_of_another_kind_than_stated_is_refused(true: uid.UID, stated: uid.UID) -> None:
    data = labelled(file_of(dataset_of(asymmetric(4095), 12), true), stated)
    if true == stated:
        read(data)
        return
    name = stated.name.split(" (")[0]
    with pytest.raises(
        ImageError, match=f"has (pixel data that are not )?{re.escape(name)}.*(export it again|uncompressed)$"
    ):
        read_radiograph(data)


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "notes"),
    [
        ("Rows", b"IS", b"37", ()),
        ("Rows", b"LO", b"37", ()),
        ("Rows", b"DS", b"37,0", ("decimal_comma:Rows",)),
        ("Rows", b"UN", b"%\0", ()),
        ("Rows", b"UL", b"%\0\0\0", ()),
        ("Rows", b"US", b"%\0%\0", ()),
        ("BitsStored", b"LO", b"12", ()),
        ("SamplesPerPixel", b"US", b"", ()),
        ("PixelRepresentation", b"US", b"", ("pixel_representation_absent",)),
        ("PixelRepresentation", b"US", b"\2\0", ("pixel_representation_absent",)),
        ("HighBit", b"US", b"", ()),
        ("Modality", b"CS", b"dx\0\0", ()),
        ("Modality", b"LO", b"DX\\CR ", ()),
        ("Modality", b"OB", b"DX", ("modality_from_sop_class",)),
        ("PhotometricInterpretation", b"UN", b"monochrome2 ", ()),
    ],
)
def test_wrong_representations_of_what_can_be_understood_are(keyword: str, vr: bytes, value: bytes, notes: Any) -> None:
    assert read(with_element(plain(), keyword, vr, value)).notes == notes


@pytest.mark.parametrize(
    ("vr", "value"), [(b"OB", b"%\0"), (b"ZZ", b"%\0"), (b"US", b""), (b"US", b"%"), (b"SQ", b"%\0"), (b"PN", b"a=b ")]
)
def test_rows_that_cannot_be_understood_are_an_error(vr: bytes, value: bytes) -> None:
    with pytest.raises(ImageError, match="rows and columns"):
        read_radiograph(with_element(plain(), "Rows", vr, value))


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("RescaleSlope", b"", "rescale window LINEAR 2048/4096"),
        ("RescaleSlope", b"NaN ", "rescale window LINEAR 2048/4096 unreadable:RescaleSlope"),
        ("RescaleSlope", b"1e400 ", "rescale window LINEAR 2048/4096 unreadable:RescaleSlope"),
        ("RescaleSlope", b"0 ", "none window LINEAR 2048/4096 rescale_slope_zero"),
        ("RescaleSlope", b"1\\3 ", "rescale window LINEAR 2048/4096"),
        ("RescaleSlope", b"1,0 ", "rescale window LINEAR 2048/4096 decimal_comma:RescaleSlope"),
        ("WindowCenter", b"2048\\ ", "rescale window LINEAR 2048/4096"),
        ("WindowCenter", b"\\2048 ", "rescale none unreadable:WindowCenter"),
        ("WindowCenter", b"\\ ", "rescale none"),
        ("WindowCenter", b"-5000 ", "rescale none voi_constant_ignored"),
        ("WindowCenter", b"1e308 ", "rescale none voi_constant_ignored"),
        ("WindowWidth", b"1e308 ", "rescale none voi_constant_ignored"),
        ("WindowWidth", b"0 ", "rescale none window_width_invalid"),
        ("WindowWidth", b"-5", "rescale none window_width_invalid"),
        ("WindowWidth", b"0.5 ", "rescale none window_width_invalid"),
        ("WindowWidth", b"NaN ", "rescale none unreadable:WindowWidth"),
    ],
)
def test_odd_numbers_of_rescale_and_window_are_noted(keyword: str, value: bytes, expected: str) -> None:
    data = plain(RescaleSlope="1.0", RescaleIntercept="0", WindowCenter="2048", WindowWidth="4096")
    radiograph = read_radiograph(with_element(data, keyword, b"DS", value))
    decisions = radiograph.decisions
    assert " ".join((decisions.modality_lut, decisions.voi, *decisions.notes)) == expected
    share = radiograph.pixels / radiograph.value_range[1]
    np.testing.assert_allclose(share, asymmetric(4095) / 4095, atol=1e-5)


@pytest.mark.parametrize("slope", [b"1e300 ", b"-1e300", b"1e-300"])
def test_a_slope_that_makes_all_values_alike_is_an_error(slope: bytes) -> None:
    with pytest.raises(ImageError, match="Rescale Slope"):
        read_radiograph(with_element(plain(RescaleSlope="1.0", RescaleIntercept="0"), "RescaleSlope", b"DS", slope))


def test_a_demanded_window_that_is_unusable_is_an_error() -> None:
    for tags in ({"WindowCenter": -5000, "WindowWidth": 10}, {"WindowCenter": 0, "WindowWidth": 0}):
        with pytest.raises(ImageError, match="no usable window number 0"):
            read_radiograph(plain(**tags), Dicom(voi="window"))


def test_a_constant_voi_lut_gives_way_to_the_window() -> None:
    table = lut_item(0, np.full(4096, 7), 16)
    decisions = read_radiograph(plain(VOILUTSequence=[table], WindowCenter=2048, WindowWidth=4096)).decisions
    assert (decisions.voi, decisions.notes) == ("window LINEAR 2048/4096", ("voi_constant_ignored",))


DAMAGED = ([0, 0, 0], [4096, 0], [4096, 0, 16, 5], [4096, 0, 17], [4096, 0, 7], [65535, 0, 16], [5000, 0, 16])


@pytest.mark.parametrize("descriptor", DAMAGED)
def test_damaged_lut_descriptors_are_refused_in_modality_and_noted_in_voi(descriptor: list[int]) -> None:
    table = lut_item(0, np.arange(4096) * 16, 16)
    table["LUTDescriptor"].value = descriptor
    assert read(plain(VOILUTSequence=[table])).notes == ("voi_lut_damaged",)
    with pytest.raises(ImageError, match="Modality LUT that is damaged"):
        read_radiograph(plain(ModalityLUTSequence=[table]))


def test_sequences_without_items_count_as_absent_and_empty_items_as_damaged() -> None:
    assert read(plain(VOILUTSequence=[], ModalityLUTSequence=[])).notes == ()
    assert read(plain(VOILUTSequence=[Dataset()])).notes == ("voi_lut_damaged",)
    with pytest.raises(ImageError, match="Modality LUT"):
        read_radiograph(plain(ModalityLUTSequence=[Dataset()]))


def test_entries_above_the_declared_bits_scale_by_the_largest_and_are_noted() -> None:
    table = lut_item(0, np.arange(4096), 10)  # declares 0..1023
    radiograph = read_radiograph(plain(VOILUTSequence=[table]))
    np.testing.assert_array_equal(radiograph.pixels, np.rint(asymmetric(4095) / 4095 * 65535))
    assert radiograph.decisions.notes == ("lut_beyond_declared_bits",)


def test_a_voi_lut_of_12_bits_that_declares_16_reaches_white_and_is_noted() -> None:
    table = lut_item(0, np.arange(4096), 16)
    radiograph = read_radiograph(plain(VOILUTSequence=[table]))
    np.testing.assert_array_equal(radiograph.pixels, np.rint(asymmetric(4095) / 4095 * 65535))
    assert radiograph.decisions.notes == ("lut_below_declared_bits",)


@pytest.mark.parametrize(("entries", "bits"), [(np.arange(4096) // 2, 12), (np.arange(4096) * 3 // 4, 16)])
def test_a_voi_lut_that_may_mean_it_is_as_dark_as_it_says(entries: np.ndarray, bits: int) -> None:
    radiograph = read_radiograph(plain(VOILUTSequence=[lut_item(0, entries, bits)]))
    expected = np.rint(entries[asymmetric(4095)] / (2**bits - 1) * 65535)
    np.testing.assert_array_equal(radiograph.pixels, expected)
    assert radiograph.decisions.notes == ()


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless])
def test_a_high_bit_above_the_values_does_not_cost_their_lowest_bits(syntax: uid.UID) -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(4095), 12, syntax=syntax, HighBit=15))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.notes == ("high_bit_ignored",)
    dim = asymmetric(200) << 4  # at the high bit, although no word uses the highest bits
    radiograph = read_radiograph(dicom_file(dim, 12, syntax=syntax, HighBit=15))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(200))
    assert radiograph.decisions.notes == ()


def test_a_single_picture_of_zero_frames_is_read_and_noted() -> None:
    radiograph = read_radiograph(plain(NumberOfFrames=0))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.frame is None
    assert radiograph.decisions.notes == ("number_of_frames_zero",)


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": ROWS // 2},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"NumberOfFrames": None, "PixelData": asymmetric(4095).astype("<u2").tobytes() * 3},
    ],
)
def test_pixel_data_with_room_for_another_picture_are_refused(tags: dict[str, Any]) -> None:
    dataset = dataset_of(asymmetric(4095), 12, NumberOfFrames=1, SamplesPerPixel=None)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    with pytest.raises(ImageError, match="bytes of pixel data where its size, bits and frames make"):
        read_radiograph(saved(dataset))


def test_more_bytes_than_memory_is_there_for_are_refused_before_they_are_taken() -> None:
    native = saved(dataset_of(asymmetric(4095), 12, Rows=9000, Columns=9000))
    with pytest.raises(ImageError, match="9000 x 9000 pixels, more than the 75000000 that are decoded at 2 bytes"):
        read_radiograph(native)
    data = dicom_file(asymmetric(255), 8, syntax=uid.JPEG2000Lossless, Rows=ROWS, Columns=COLUMNS)
    size = data.index(b"\xff\x4f\xff\x51") + 8
    larger = data[:size] + struct.pack(">II", 8000, 8000) + data[size + 8 :]
    with pytest.raises(ImageError, match="8000 x 8000 pixels, more than the 50000000 that are decoded at 3 bytes"):
        read_radiograph(larger)


def test_fewer_bytes_than_a_picture_behind_it_are_noted() -> None:
    dataset = dataset_of(asymmetric(4095), 12)
    dataset.PixelData += bytes(512)
    radiograph = read_radiograph(saved(dataset))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.notes == ("surplus_bytes:512",)


@pytest.mark.parametrize("count", [256, 255])
def test_entries_of_8_bits_are_read_from_words_and_from_bytes(count: int) -> None:
    entries = np.arange(count)[::-1]
    packed = lut_item(0, entries, 8)
    packed.LUTData = entries.astype(np.uint8).tobytes() + b"\0" * (count % 2)
    for table in (lut_item(0, entries, 8), packed):
        radiograph = read_radiograph(dicom_file(asymmetric(255), 8, VOILUTSequence=[table]))
        expected = np.rint(entries[np.minimum(asymmetric(255), count - 1)] / 255 * 65535)
        np.testing.assert_array_equal(radiograph.pixels, expected)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_lut_data_may_be_numbers_instead_of_words(syntax: uid.UID) -> None:
    table = lut_item(0, np.arange(4096) * 16, 16)
    table["LUTData"].VR = "US"
    table.LUTData = list(range(0, 65536, 16))
    dataset = dataset_of(asymmetric(4095), 12, VOILUTSequence=[table])
    if syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = swapped(dataset.PixelData)
    dataset.file_meta.TransferSyntaxUID = syntax
    radiograph = read_radiograph(saved(dataset))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095) * 16)
    assert radiograph.decisions.voi == "lut"


def test_each_of_several_luts_can_be_asked_for() -> None:
    tables = [lut_item(0, np.arange(4096) * factor, 16) for factor in (16, 3)]
    data = plain(VOILUTSequence=tables, WindowCenter=[1, 2, 2048], WindowWidth=[2, 2, 4096])
    for number, factor in enumerate((16, 3)):
        for policy in (Dicom(window=number), Dicom(voi="lut", window=number)):
            np.testing.assert_array_equal(read_radiograph(data, policy).pixels, asymmetric(4095) * factor)
    assert read_radiograph(data, Dicom(window=2)).decisions.voi == "window LINEAR 2048/4096"
    with pytest.raises(ImageError, match="no usable VOI LUT number 2"):
        read_radiograph(data, Dicom(voi="lut", window=2))


def test_a_window_that_misses_this_picture_is_applied_all_the_same() -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(1000), 12, WindowCenter=3000, WindowWidth=100))
    assert (radiograph.pixels == 0).all()
    assert radiograph.decisions.voi == "window LINEAR 3000/100"


@pytest.mark.parametrize(("vr", "first"), [("US", 64536), ("SS", -1000)])
def test_the_first_input_of_a_lut_has_the_sign_of_its_inputs(vr: str, first: int) -> None:
    table = lut_item(0, np.arange(2000) * 30, 16)
    table["LUTDescriptor"].VR = vr
    table.LUTDescriptor = [2000, first, 16]
    stored = asymmetric(1999) - 1000
    radiograph = read_radiograph(dicom_file(stored, 12, True, VOILUTSequence=[table]))
    np.testing.assert_array_equal(radiograph.pixels, (stored + 1000) * 30)


@pytest.mark.parametrize(("vr", "value"), [("US", 63536), ("SS", -2000)])
def test_padding_has_the_sign_of_the_pixels_whatever_its_representation(vr: str, value: int) -> None:
    for signed in (False, True):
        stored = asymmetric(1000)
        stored[:2] = -2000 if signed else 63536
        dataset = dataset_of(stored, 16, signed, PixelPaddingValue=0)
        dataset["PixelPaddingValue"].VR = vr
        dataset.PixelPaddingValue = value
        radiograph = read_radiograph(saved(dataset))
        assert (radiograph.pixels[:2] == 0).all(), signed
        assert radiograph.decisions.notes == (f"padding:{2 / ROWS:.4f}",)


def test_signed_padding_with_a_range_limit_on_either_side_becomes_black() -> None:
    for value, limit in ((-2048, -2000), (-2000, -2048)):
        stored = asymmetric(1000)
        stored[:3] = -2048 + np.arange(COLUMNS) % 49
        tags = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
        radiograph = read_radiograph(dicom_file(stored, 12, True, **tags))
        np.testing.assert_array_equal(radiograph.pixels[3:], asymmetric(1000)[3:])
        assert (radiograph.pixels[:3] == 0).all()


def test_a_window_on_negative_modality_values_is_applied_to_these() -> None:
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": -500, "WindowWidth": 1001}
    radiograph = read_radiograph(plain(**tags))
    expected = np.clip((asymmetric(4095) - 1024 + 1000.5) / 1000, 0, 1)
    np.testing.assert_array_equal(radiograph.pixels, np.rint(expected * 65535))


def test_implicit_files_without_pixel_representation_are_unsigned() -> None:
    dataset = dataset_of(asymmetric(4095), 12, VOILUTSequence=[lut_item(0, np.arange(4096) * 16, 16)])
    del dataset.PixelRepresentation
    radiograph = read_radiograph(file_of(dataset, uid.ImplicitVRLittleEndian))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095) * 16)
    assert radiograph.decisions.notes == ("pixel_representation_absent",)


@pytest.mark.parametrize(
    "charset", ["ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 87\\ISO 2022 IR 159", "\\ISO 2022 IR 149", SECRET]
)
def test_character_sets_do_not_matter(charset: str) -> None:
    dataset = dataset_of(asymmetric(4095), 12)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    data = with_element(saved(dataset), "SpecificCharacterSet", b"CS", charset.encode() + b" " * (len(charset) % 2))
    assert read(with_element(data, "PatientID", b"LO", b"\xff\xfe\xb0\xa1\x1b$B!!")).notes == ()


def test_private_and_odd_elements_are_passed_over() -> None:
    dataset = dataset_of(asymmetric(4095), 12)
    dataset.add_new(0x00090010, "LO", SECRET)
    dataset.add_new(0x00091001, "UN", b"x" * 11)
    dataset.add_new(0x00091002, "OB", b"")
    assert read(saved(dataset)).notes == ()
    assert read(saved(dataset) + b"\0").notes == ()
    assert read(with_element(saved(dataset), "PatientID", b"LO", b"odd")).notes == ()


@pytest.mark.parametrize(
    ("value", "expected", "note"),
    [
        (b"0.2 ", None, "spacing_implausible:PixelSpacing"),
        (b"0.2\\-.1 ", None, "spacing_implausible:PixelSpacing"),
        (b".2\\.1\\.1 ", None, "spacing_implausible:PixelSpacing"),
        (b".2\\ ", None, "spacing_implausible:PixelSpacing"),
        (b"0.2\\abc", None, "unreadable:PixelSpacing"),
        (b"0,2\\0,1 ", 0.2, "decimal_comma:PixelSpacing"),
        (b"2e-1\\.1 ", 0.2, None),
    ],
)
def test_odd_spacings_are_understood_or_unknown(value: bytes, expected: float | None, note: str | None) -> None:
    decisions = read(with_element(plain(PixelSpacing=[0.2, 0.1]), "PixelSpacing", b"DS", value))
    assert decisions.spacing_row_mm == expected
    assert decisions.notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("tags", "source", "row", "notes"),
    [
        ({"NominalScannedPixelSpacing": [0.3, 0.2]}, "NominalScannedPixelSpacing", 0.3, ()),
        (
            {"NominalScannedPixelSpacing": [0.3, 0.2], "ImagerPixelSpacing": [0.1, 0.1]},
            "ImagerPixelSpacing",
            0.1,
            (),
        ),
        (
            {"PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"},
            "PixelSpacing",
            0.1,
            ("spacing_calibration:FIDUCIAL",),
        ),
        (
            {
                "PixelSpacing": [0.1, 0.1],
                "ImagerPixelSpacing": [0.1, 0.1],
                "EstimatedRadiographicMagnificationFactor": 1.2,
            },
            "PixelSpacing",
            0.1,
            ("spacing_at_detector",),
        ),
        ({"PixelAspectRatio": [6, 5]}, "unknown", None, ("pixel_aspect_ratio:6/5",)),
        ({"PixelAspectRatio": [1, 1]}, "unknown", None, ()),
        ({"PixelAspectRatio": [6, 5], "PixelSpacing": [0.6, 0.5]}, "PixelSpacing", 0.6, ()),
    ],
)
def test_the_origin_and_the_calibration_of_a_spacing_are_recorded(
    tags: dict[str, Any], source: str, row: float | None, notes: Any
) -> None:
    decisions = read(plain(**tags))
    assert (decisions.spacing_source, decisions.spacing_row_mm, decisions.notes) == (source, row, notes)


def test_the_byte_that_pads_a_picture_of_one_pixel_is_no_second_frame() -> None:
    radiograph = read_radiograph(dicom_file(np.array([[7]]), 8), invert=False)
    assert radiograph.pixels.tolist() == [[7]]
    assert radiograph.decisions.notes == ()
