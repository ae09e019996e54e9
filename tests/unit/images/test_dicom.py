"""Hand-made DICOM files: greys, polarity, policies, spacing, refusals. All combinations: test_dicom_matrix.py."""

import logging
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.dicom.greys import window
from segpipe.images.dicom.pixels import decodable_transfer_syntaxes
from segpipe.images.read import read_radiograph
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
)

LOSSLESS = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("mono1", [False, True])
def test_without_window_the_modality_values_come_out_over_the_declared_range(bits: int, mono1: bool) -> None:
    picture = asymmetric(2**bits - 1) // 2  # its maximum is half of what is declared
    stored = 2**bits - 1 - picture if mono1 else picture
    photometric = "MONOCHROME1" if mono1 else "MONOCHROME2"
    radiograph = read_radiograph(dicom_file(stored, bits, PhotometricInterpretation=photometric))
    np.testing.assert_array_equal(radiograph.pixels, picture)
    assert radiograph.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert radiograph.value_range == (0, 2**bits - 1)
    assert radiograph.display_range is None


def test_inversion_mirrors_the_declared_range_and_not_the_pictures_maximum() -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(1000), 12, PresentationLUTShape="INVERSE"))
    np.testing.assert_array_equal(radiograph.pixels, 4095 - asymmetric(1000))


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "source", "notes"),
    [
        ("MONOCHROME1", None, True, "PhotometricInterpretation", ()),
        ("MONOCHROME2", None, False, "PhotometricInterpretation", ()),
        ("MONOCHROME1", "INVERSE", True, "PresentationLUTShape", ()),
        ("MONOCHROME2", "IDENTITY", False, "PresentationLUTShape", ()),
        ("MONOCHROME1", "IDENTITY", False, "PresentationLUTShape", ("polarity_tags_disagree",)),
        ("MONOCHROME2", "INVERSE", True, "PresentationLUTShape", ("polarity_tags_disagree",)),
        ("MONOCHROME1", "LIN OD", True, "PhotometricInterpretation", ()),
        ("MONOCHROME1", "", True, "PhotometricInterpretation", ()),
    ],
)
def test_polarity_is_decided_once(photometric: str, shape: Any, inverted: bool, source: str, notes: Any) -> None:
    tags = {"PhotometricInterpretation": photometric} | ({} if shape is None else {"PresentationLUTShape": shape})
    radiograph = read_radiograph(dicom_file(asymmetric(), 8, **tags))
    np.testing.assert_array_equal(radiograph.pixels, 255 - asymmetric() if inverted else asymmetric())
    decisions = radiograph.decisions
    assert (decisions.inverted, decisions.invert_source, decisions.notes) == (inverted, source, notes)


@pytest.mark.parametrize("invert", [False, True])
def test_the_sample_sheet_overrides_the_polarity(invert: bool) -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(), 8, PhotometricInterpretation="MONOCHROME1"), invert=invert)
    np.testing.assert_array_equal(radiograph.pixels, 255 - asymmetric() if invert else asymmetric())
    assert (radiograph.decisions.inverted, radiograph.decisions.invert_source) == (invert, "sheet")


def test_a_missing_photometric_interpretation_needs_the_sample_sheet() -> None:
    data = dicom_file(asymmetric(), 8, PhotometricInterpretation=None)
    with pytest.raises(ImageError, match="column invert"):
        read_radiograph(data)
    assert read_radiograph(data, invert=False).pixels.max() == 255


def test_windows_match_values_computed_by_hand() -> None:
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 over 0..4095 is the identity; C.11.2.1.2.2: width 1 is a step
    assert window(np.array([0.0, 4095.0]), 2048, 4096, "LINEAR").tolist() == [0, 1]
    assert window(np.array([-1.0, 0.0, 1.0]), 0, 1, "LINEAR").tolist() == [0, 1, 1]
    assert window(np.array([0.0, 25.0, 50.0, 100.0, 101.0]), 50, 100, "LINEAR_EXACT").tolist() == [0, 0.25, 0.5, 1, 1]
    sigmoid = window(np.array([50.0, 75.0]), 50, 100, "SIGMOID")
    np.testing.assert_allclose(sigmoid, [0.5, 1 / (1 + np.exp(-1))])
    assert window(np.array([-1e9, 1e9]), 0, 1e-3, "SIGMOID").tolist() == pytest.approx([0, 1])


def test_the_windows_decision_is_recorded() -> None:
    tags = {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"}
    assert read_radiograph(dicom_file(asymmetric(4095), 12, **tags)).decisions.voi == "window SIGMOID 2048/4096"


def test_the_configured_window_among_several_is_applied() -> None:
    data = dicom_file(asymmetric(4095), 12, WindowCenter=[2048, 100], WindowWidth=[4096, 50])
    second = read_radiograph(data, Dicom(window=1))
    assert second.decisions.voi == "window LINEAR 100/50"
    expected = np.rint(np.clip((asymmetric(4095) - 99.5) / 49 + 0.5, 0, 1) * 65535)
    np.testing.assert_array_equal(second.pixels, expected)
    third = read_radiograph(data, Dicom(window=2))
    assert (third.decisions.voi, third.decisions.notes, third.display_range) == ("none", ("window_absent:2",), None)
    with pytest.raises(ImageError, match=r"dicom\.voi: window"):
        read_radiograph(data, Dicom(voi="window", window=2))


def test_policies_choose_between_lut_window_and_neither() -> None:
    entries = np.linspace(0, 255, 4096).round()
    data = dicom_file(
        asymmetric(4095), 12, WindowCenter=2048, WindowWidth=4096, VOILUTSequence=[lut_item(0, entries, 8)]
    )
    assert read_radiograph(data).decisions.voi == "lut"
    assert read_radiograph(data, Dicom(voi="lut")).decisions.voi == "lut"
    assert read_radiograph(data, Dicom(voi="window")).decisions.voi == "window LINEAR 2048/4096"
    for policy, display in (("percentile", None), ("none", (0, 4095))):
        radiograph = read_radiograph(data, Dicom(voi=policy))
        np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
        assert (radiograph.decisions.voi, radiograph.display_range) == ("none", display)


@pytest.mark.parametrize("voi", ["lut", "window"])
def test_a_demanded_voi_that_is_not_there_is_an_error(voi: Any) -> None:
    with pytest.raises(ImageError, match=f"which dicom.voi: {voi} demands; set dicom.voi"):
        read_radiograph(dicom_file(asymmetric(), 8), Dicom(voi=voi))


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ({"WindowCenter": 100, "WindowWidth": 0}, "window_width_invalid"),
        ({"WindowCenter": 100, "WindowWidth": -5}, "window_width_invalid"),
        ({"WindowCenter": 100000, "WindowWidth": 10}, "voi_constant_ignored"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "rescale_slope_zero"),
    ],
)
def test_senseless_values_are_ignored_and_noted(tags: dict[str, Any], note: str) -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(4095), 12, **tags))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.notes == (note,)


def test_empty_elements_count_as_absent() -> None:
    tags = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing"), "")
    radiograph = read_radiograph(dicom_file(asymmetric(4095), 12, **tags))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.notes == ()


def test_rescaled_values_that_are_not_whole_or_negative_become_float() -> None:
    for slope, intercept in ((0.25, 0), (1, -1024), (-2, 0)):
        data = dicom_file(asymmetric(4095), 12, RescaleSlope=slope, RescaleIntercept=intercept)
        radiograph = read_radiograph(data)
        np.testing.assert_array_equal(radiograph.pixels, np.float32(slope * asymmetric(4095) + intercept))
        assert radiograph.pixels.dtype == np.float32
        assert radiograph.value_range == tuple(sorted((intercept, slope * 4095 + intercept)))
        assert radiograph.decisions.modality_lut == "rescale"


def test_a_modality_lut_sequence_is_applied_and_clamps_at_its_ends() -> None:
    item = lut_item(10, np.arange(100) * 3, 10)
    item.ModalityLUTType = "US"
    radiograph = read_radiograph(dicom_file(asymmetric(4095), 12, ModalityLUTSequence=[item]))
    np.testing.assert_array_equal(radiograph.pixels, 3 * np.clip(asymmetric(4095) - 10, 0, 99))
    assert (radiograph.value_range, radiograph.decisions.modality_lut) == ((0, 1023), "sequence")


def test_a_damaged_modality_lut_is_an_error() -> None:
    item = lut_item(0, np.arange(100), 10)
    item.LUTDescriptor = [500, 0, 10]
    with pytest.raises(ImageError, match="Modality LUT"):
        read_radiograph(dicom_file(asymmetric(4095), 12, ModalityLUTSequence=[item]))


def test_padding_becomes_black_without_shifting_percentiles() -> None:
    picture = asymmetric(3000) + 500
    stored = picture.copy()
    stored[:, :9] = 4095  # white padding in a MONOCHROME2 picture
    radiograph = read_radiograph(dicom_file(stored, 12, PixelPaddingValue=4095))
    np.testing.assert_array_equal(radiograph.pixels[:, 9:], picture[:, 9:])
    assert (radiograph.pixels[:, :9] == picture[:, 9:].min()).all()
    assert radiograph.decisions.notes == (f"padding:{9 / COLUMNS:.4f}",)
    whole = read_radiograph(dicom_file(stored, 12, PixelPaddingValue=4095), Dicom(voi="none"))
    assert (whole.pixels[:, :9] == 0).all()


def test_padding_is_black_after_inversion_and_a_range_limit_widens_it() -> None:
    stored = asymmetric(3000) + 500
    stored[:4] = np.arange(COLUMNS) % 11  # 0..10
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 10, "WindowCenter": 2048, "WindowWidth": 4096}
    radiograph = read_radiograph(dicom_file(stored, 12, PhotometricInterpretation="MONOCHROME1", **tags))
    assert (radiograph.pixels[:4] == 0).all()
    assert (radiograph.pixels[4:] > 0).all()


def test_signed_padding_in_implicit_files_is_understood() -> None:
    stored = asymmetric(1000)
    stored[:2] = -2000
    data = dicom_file(stored, 16, True, uid.ImplicitVRLittleEndian, PixelPaddingValue=-2000)
    radiograph = read_radiograph(data)
    assert radiograph.pixels.min() == 0
    assert radiograph.decisions.notes == (f"padding:{2 / ROWS:.4f}",)


def test_unused_bits_and_a_high_bit_are_respected() -> None:
    overlay = np.zeros((ROWS, COLUMNS), np.int64)
    overlay[5] = 0x8000
    radiograph = read_radiograph(dicom_file(asymmetric(4095) + overlay, 12))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.notes == ("unused_bits_masked",)
    shifted = read_radiograph(dicom_file(asymmetric(4095) << 4, 12, HighBit=15))
    np.testing.assert_array_equal(shifted.pixels, asymmetric(4095))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1, "PixelSpacing")),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.3]}, (0.2, 0.1, "PixelSpacing")),
        ({"ImagerPixelSpacing": [0.3, 0.15]}, (0.3, 0.15, "ImagerPixelSpacing")),
        (
            {"ImagerPixelSpacing": [0.3, 0.15], "EstimatedRadiographicMagnificationFactor": 1.5},
            (0.2, 0.1, "ImagerPixelSpacing/magnification"),
        ),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.3, 0.15]}, (0.3, 0.15, "ImagerPixelSpacing")),
        ({"PixelSpacing": [0, 0]}, (None, None, "unknown")),
        ({"PixelSpacing": [11, 11]}, (None, None, "unknown")),
        ({"PixelSpacing": [-0.1, 0.1]}, (None, None, "unknown")),
        ({}, (None, None, "unknown")),
    ],
)
def test_spacing_is_the_plausible_one_with_its_source_or_unknown(tags: dict[str, Any], expected: Any) -> None:
    decisions = read_radiograph(dicom_file(asymmetric(), 8, **tags)).decisions
    assert decisions.spacing_row_mm == pytest.approx(expected[0])
    assert decisions.spacing_column_mm == pytest.approx(expected[1])
    assert decisions.spacing_source == expected[2]
    assert ("spacing_implausible:PixelSpacing" in decisions.notes) == (tags.get("PixelSpacing", [0.2])[0] != 0.2)


def test_an_impossible_magnification_is_ignored_and_noted() -> None:
    tags = {"ImagerPixelSpacing": [0.3, 0.15], "EstimatedRadiographicMagnificationFactor": 0}
    decisions = read_radiograph(dicom_file(asymmetric(), 8, **tags)).decisions
    assert (decisions.spacing_row_mm, decisions.notes) == (0.3, ("magnification_implausible",))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "CT", "SOPClassUID": uid.CTImageStorage}, "its modality is CT, its SOP class CT Image"),
        ({"Modality": "OT", "SOPClassUID": uid.SecondaryCaptureImageStorage}, "OT, .* Secondary Capture"),
        ({"Modality": SECRET, "SOPClassUID": "1.2.3.999"}, "none that segpipe knows, its SOP class unregistered"),
        ({"Modality": None, "SOPClassUID": uid.UltrasoundImageStorage}, "missing, its SOP class Ultrasound"),
        ({"SOPClassUID": uid.MediaStorageDirectoryStorage}, "DICOMDIR"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"colour picture \(RGB\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour picture"),
        ({"PhotometricInterpretation": SECRET}, "unknown photometric"),
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": None}, "rows and columns"),
        ({"Rows": 0}, "0 rows"),
        ({"Rows": 65000, "Columns": 65000}, "65000 x 65000 pixels, more than"),
        ({"Rows": ROWS + 1}, "cut off"),
        ({"BitsAllocated": 32}, "32 bits allocated"),
        ({"BitsStored": 13}, "contradicts itself"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(tags: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        read_radiograph(dicom_file(asymmetric(), 8, **tags))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)


def test_a_missing_modality_is_taken_from_the_sop_class() -> None:
    decisions = read_radiograph(dicom_file(asymmetric(), 8, Modality=None)).decisions
    assert (decisions.modality, decisions.notes) == ("DX", ("modality_from_sop_class",))


def test_single_frames_of_any_radiographic_modality_are_read() -> None:
    for modality in ("CR", "DX", "MG", "RG", "PX", "IO", "XA", "RF"):
        data = dicom_file(asymmetric(), 8, Modality=modality, NumberOfFrames=1)
        assert read_radiograph(data).decisions.modality == modality


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_files_without_preamble_and_meta_are_read_and_noted(syntax: uid.UID) -> None:
    dataset = dataset_of(asymmetric(4095), 12)
    del dataset.file_meta
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    assert buffer.getvalue()[128:132] != b"DICM"
    radiograph = read_radiograph(buffer.getvalue())
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert radiograph.decisions.transfer_syntax == syntax
    assert radiograph.decisions.notes == ("transfer_syntax_guessed",)


@pytest.mark.parametrize("syntax", [*LOSSLESS, uid.JPEGBaseline8Bit], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_truncated_files_are_errors_wherever_they_end(syntax: uid.UID) -> None:
    data = dicom_file(asymmetric(), 8, syntax=syntax)
    complete = read_radiograph(data).pixels
    reasons: list[str] = []
    for end in range(1, len(data), 13):
        try:
            radiograph = read_radiograph(data[:end])
        except ImageError as error:
            reasons.append(str(error))
        else:  # only padding and delimiters were lost
            np.testing.assert_array_equal(radiograph.pixels, complete)
            assert end > len(data) - 20
    assert len(reasons) > 10
    assert SECRET not in "".join(reasons)


def test_jpeg_baseline_is_read_as_its_encoder_meant_it() -> None:
    radiograph = read_radiograph(dicom_file(asymmetric(), 8, syntax=uid.JPEGBaseline8Bit))
    assert np.abs(radiograph.pixels.astype(int) - asymmetric()).mean() < 2


def test_a_compressed_picture_of_another_size_than_declared_is_an_error() -> None:
    dataset = dataset_of(asymmetric(), 8)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    dataset.Rows = ROWS + 1
    with pytest.raises(
        ImageError, match=f"declares {ROWS + 1} x {COLUMNS} pixels, but its compressed picture has {ROWS}"
    ):
        read_radiograph(saved(dataset))


def test_an_undecodable_syntax_is_named() -> None:
    dataset = dataset_of(asymmetric(), 8)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    with pytest.raises(ImageError, match="MPEG2 Main Profile / Main Level"):
        read_radiograph(saved(dataset))


def test_a_missing_decoder_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_built(*_: object) -> None:
        raise ImportError

    monkeypatch.setattr("imagecodecs.jpegls_decode", not_built)
    with pytest.raises(ImageError, match=r"JPEG-LS Lossless.*install imagecodecs from PyPI"):
        read_radiograph(dicom_file(asymmetric(), 8, syntax=uid.JPEGLSLossless))


def test_the_transfer_syntaxes_of_single_pictures_are_listed() -> None:
    syntaxes = decodable_transfer_syntaxes()
    assert {"Explicit VR Big Endian", "RLE Lossless", "JPEG-LS Lossless Image Compression"} < set(syntaxes)
    assert len(syntaxes) == 16


def test_wrong_value_representations_are_noted_or_refused() -> None:
    def broken(keyword: str, text: bytes) -> bytes:
        """Text that is no number where one belongs."""
        dataset = dataset_of(asymmetric(4095), 12, **{keyword: "12345678"})
        return file_of(dataset).replace(b"12345678", text)

    radiograph = read_radiograph(broken("RescaleSlope", f"{SECRET[:7]}x".encode()))
    assert radiograph.decisions.notes == ("unreadable:RescaleSlope",)
    np.testing.assert_array_equal(radiograph.pixels, asymmetric(4095))
    assert read_radiograph(broken("WindowWidth", b"1.5 E2.3")).decisions.voi == "none"


def test_nothing_of_the_header_reaches_logs_warnings_or_the_result(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    dataset = dataset_of(asymmetric(), 8)
    odd = Dataset()
    odd.LUTExplanation = SECRET
    dataset.VOILUTSequence = [odd]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset.StudyInstanceUID = SECRET
        dataset.ImagerPixelSpacing = [0.123456, 0.2]
        data = saved(dataset).replace(b"0.123456", b"PHICANAR")
        caught.clear()
        radiograph = read_radiograph(data)
    assert radiograph.decisions.notes == ("voi_lut_damaged", "unreadable:ImagerPixelSpacing")
    output = capfd.readouterr()
    everything = f"{radiograph} {caplog.text} {output.out} {output.err} {[str(w.message) for w in caught]}"
    assert SECRET[:-1] not in everything


@pytest.mark.parametrize(("said", "kept"), [("YES", "YES"), ("NO", "NO"), ("PHICANARY", ""), ("", "")])
def test_of_burned_in_annotation_and_recognizable_features_only_the_defined_terms_are_kept(
    said: str, kept: str
) -> None:
    tags = {"BurnedInAnnotation": said, "RecognizableVisualFeatures": said}
    decisions = read_radiograph(file_of(dataset_of(asymmetric(), 8, **tags))).decisions
    assert decisions.burned_in_annotation == kept
    assert decisions.recognizable_visual_features == kept


def test_files_that_do_not_say_whether_they_are_annotated_have_blanks() -> None:
    decisions = read_radiograph(file_of(dataset_of(asymmetric(), 8))).decisions
    assert (decisions.burned_in_annotation, decisions.recognizable_visual_features) == ("", "")
