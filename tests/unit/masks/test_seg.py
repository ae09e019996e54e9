"""DICOM masks: segmentations written by highdicom for a single radiograph, and grey pictures."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.masks.reference import read_reference
from tests.unit.images.pictures import COLUMNS, ROWS, SECRET, asymmetric, dataset_of, dicom_file

SHAPE = (ROWS, COLUMNS)
LUNG = np.zeros(SHAPE, bool)
LUNG[3:20, 5:15] = True
HEART = np.zeros(SHAPE, bool)
HEART[15:30, 12:40] = True


def radiograph() -> pydicom.Dataset:
    dataset = dataset_of(asymmetric(), 8, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.5", StudyID="1")
    dataset.AccessionNumber, dataset.StudyDate, dataset.StudyTime = SECRET, "20200101", "120000"
    dataset.PatientSex, dataset.ReferringPhysicianName, dataset.Manufacturer = "O", SECRET, "none"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    return dataset


def segmentation(pixels: np.ndarray, kind: str, segments: int = 2) -> pydicom.Dataset:
    """``pixels`` (1, rows, columns, segments), or (1, rows, columns) of labels."""
    import highdicom
    from pydicom.sr.codedict import codes

    what = [(codes.SCT.Lung, f"{SECRET} lung"), (codes.SCT.Heart, "heart"), (codes.SCT.Bone, "bone")]
    described = [
        highdicom.seg.SegmentDescription(number, label, codes.SCT.Organ, code, "MANUAL")
        for number, (code, label) in enumerate(what[:segments], start=1)
    ]
    names = dict(manufacturer="none", manufacturer_model_name="none", software_versions="1", device_serial_number="1")
    return highdicom.seg.Segmentation(
        [radiograph()], pixels, kind, described, "1.2.3.6", 1, "1.2.3.7", 1, content_description=SECRET, **names
    )


def planes(*masks: np.ndarray) -> np.ndarray:
    return np.stack(masks, axis=-1)[np.newaxis].astype(np.uint8)


def saved(folder: Path, dataset: pydicom.Dataset, **changes: Any) -> Path:
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    (folder / "mask.dcm").write_bytes(buffer.getvalue())
    return folder / "mask.dcm"


@pytest.mark.parametrize("classes", [{"heart": [2], "lung": [1]}, {"heart": ["heart"], "lung": [f"{SECRET} lung"]}])
def test_segments_are_found_by_number_or_label_and_may_overlap(tmp_path: Path, classes: Any) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"))
    mask = read_reference({"": path}, classes, SHAPE)
    np.testing.assert_array_equal(mask.bits, HEART + 2 * LUNG)
    assert mask.notes == ()


def test_a_class_may_unite_segments_and_a_segment_serve_several_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"))
    mask = read_reference({"": path}, {"chest": [1, 2], "heart": ["heart"]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, (LUNG | HEART) + 2 * HEART)


def test_a_fraction_counts_from_one_half_on_and_is_noted(tmp_path: Path) -> None:
    share = LUNG * 0.2
    share[3:10] *= 4
    path = saved(tmp_path, segmentation(share[np.newaxis, ..., np.newaxis].astype(np.float32), "FRACTIONAL", 1))
    mask = read_reference({"": path}, {"lung": None}, SHAPE)
    expected = LUNG.copy()
    expected[10:] = False
    np.testing.assert_array_equal(mask.bits, expected)
    assert mask.notes == ("mask_fractional",)


@pytest.mark.parametrize("classes", [{"heart": [2], "lung": [1]}, {"heart": ["heart"], "lung": [f"{SECRET} lung"]}])
def test_label_maps_are_read_by_number_or_label(tmp_path: Path, classes: Any) -> None:
    labels = np.where(LUNG, 1, HEART * 2).astype(np.uint8)
    path = saved(tmp_path, segmentation(labels[np.newaxis], "LABELMAP"))
    mask = read_reference({"": path}, classes, SHAPE)
    np.testing.assert_array_equal(mask.bits, (labels == 2) + 2 * LUNG)


def test_a_segment_without_a_frame_is_empty(tmp_path: Path) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, np.zeros(SHAPE)), "BINARY"))
    assert pydicom.dcmread(path).NumberOfFrames == 1, "highdicom leaves the empty frame out"
    mask = read_reference({"": path}, {"lung": [1], "heart": [2]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LUNG)
    assert mask.notes == ("mask_empty:heart",)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_losslessly_compressed_fractions_are_read(tmp_path: Path, syntax: str) -> None:
    dataset = segmentation(planes(LUNG, HEART).astype(np.float32), "FRACTIONAL")
    frames = pydicom.pixels.pixel_array(dataset)
    dataset.compress(syntax, frames, generate_instance_uid=False)
    mask = read_reference({"": saved(tmp_path, dataset)}, {"lung": [1], "heart": [2]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LUNG + 2 * HEART)


def test_an_unnamed_segment_is_an_error_that_shows_its_coded_meaning_and_no_free_text(tmp_path: Path) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"))
    expected = r"no class names \(value: pixels 1 \(Lung\): 170, 2 \(Heart\): 420\); give 1 \(Lung\) to a class"
    with pytest.raises(ImageError, match=expected) as caught:
        read_reference({"": path}, {"heart": ["heart"]}, SHAPE)
    assert SECRET not in str(caught.value)
    with pytest.raises(ImageError, match=r"one class, but has 2 labels .* as in classes: \{lung: \[1\]\}") as caught:
        read_reference({"lung": path}, {"lung": None}, SHAPE)
    assert SECRET not in str(caught.value)


def test_a_coded_meaning_that_only_the_file_knows_is_not_shown(tmp_path: Path) -> None:
    dataset = segmentation(planes(LUNG, HEART), "BINARY")
    code = dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    code.CodeValue, code.CodeMeaning = SECRET, SECRET
    with pytest.raises(ImageError, match=r"pixels 1: 170, 2 \(Heart\): 420") as caught:
        read_reference({"": saved(tmp_path, dataset)}, {"heart": [2]}, SHAPE)
    assert SECRET not in str(caught.value)


def test_several_frames_for_one_segment_are_refused(tmp_path: Path) -> None:
    dataset = segmentation(planes(LUNG, HEART), "BINARY")
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
    with pytest.raises(ImageError, match="2 frames for one segment, so it belongs to several pictures"):
        read_reference({"": saved(tmp_path, dataset)}, {"lung": [1, 2]}, SHAPE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NumberOfFrames": 3}, "has 3 frames, but describes 2"),
        ({"PixelData": b"\0" * 10}, "10 bytes of pixel data where frame 1 needs 246"),
        ({"Rows": 60000, "Columns": 60000}, "more than the 150000000"),
        ({"SegmentationType": SECRET}, "neither BINARY, FRACTIONAL nor LABELMAP"),
        ({"SegmentSequence": []}, "2 frames of no segment"),
        ({"BitsAllocated": 32}, "not 1, 8 or 16 unsigned bits"),
    ],
)
def test_a_broken_segmentation_is_refused_with_a_reason(tmp_path: Path, changes: Any, reason: str) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"), **changes)
    with pytest.raises(ImageError, match=f"mask mask.dcm .*{reason}") as caught:
        read_reference({"": path}, {"lung": [1, 2]}, SHAPE)
    assert SECRET not in str(caught.value)


def test_a_segmentation_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"))
    with pytest.raises(ImageError, match="37 x 53 pixels and its image 53 x 37"):
        read_reference({"": path}, {"lung": [1, 2]}, (COLUMNS, ROWS))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("modality", ["MG", "OT", "SEG"])
def test_grey_dicom_pictures_are_labels_whatever_their_modality(tmp_path: Path, syntax: str, modality: str) -> None:
    labels = np.where(LUNG, 3, HEART * 1000)
    (tmp_path / "mask.dcm").write_bytes(dicom_file(labels, 16, syntax=syntax, Modality=modality))
    mask = read_reference({"": tmp_path / "mask.dcm"}, {"lung": [3], "heart": [1000]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LUNG + 2 * (labels == 1000))
    (tmp_path / "mask.dcm").write_bytes(dicom_file(LUNG * 255, 8, syntax=syntax, Modality=modality))
    np.testing.assert_array_equal(read_reference({"": tmp_path / "mask.dcm"}, {"lung": None}, SHAPE).bits, LUNG)


def test_a_radiograph_given_for_its_mask_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.dcm").write_bytes(dicom_file(asymmetric(4095), 12))
    with pytest.raises(ImageError, match="looks like a label image"):
        read_reference({"": tmp_path / "mask.dcm"}, {"lung": None}, SHAPE)
    (tmp_path / "mask.dcm").write_bytes(dicom_file(asymmetric(4095), 12, PhotometricInterpretation="MONOCHROME1"))
    with pytest.raises(ImageError, match="inverted greys"):
        read_reference({"": tmp_path / "mask.dcm"}, {"lung": None}, SHAPE)


def test_several_frames_of_a_grey_dicom_are_refused(tmp_path: Path) -> None:
    data = dicom_file(np.concatenate([LUNG, HEART]) * 1, 8, Rows=ROWS, NumberOfFrames=2)
    (tmp_path / "mask.dcm").write_bytes(data)
    with pytest.raises(ImageError, match="has 2 frames; a radiograph's mask has one"):
        read_reference({"": tmp_path / "mask.dcm"}, {"lung": None}, SHAPE)


def test_a_segment_label_in_other_capitals_is_told_by_the_text_of_the_config(tmp_path: Path) -> None:
    path = saved(tmp_path, segmentation(planes(LUNG, HEART), "BINARY"))
    with pytest.raises(ImageError, match=r'give 2 \(Heart\) \[nearly "HEART"\] to a class') as error:
        read_reference({"": path}, {"heart": ["HEART"], "lung": [f"{SECRET} lung"]}, SHAPE)
    assert SECRET not in str(error.value)
