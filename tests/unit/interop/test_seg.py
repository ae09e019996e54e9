"""DICOM SEG: read back by three readers, and what it tells of its source."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest

from segpipe.errors import ConfigError, ImageError
from segpipe.interop.export_masks import export_masks
from segpipe.interop.seg import export, read_source
from segpipe.masks.seg import read_dicom_mask
from tests.unit.interop.test_export_masks import NAMES, index, usable

FIRST = "syn0000_pa1"


@pytest.fixture(scope="module")
def exported(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seg")
    export_masks(config, "seg", folder)
    return folder


def test_three_readers_see_the_run_s_masks(run, exported):
    images = [image for image in usable(run) if image.format == "DICOM"]
    assert len(images) == 5
    for image in images:
        path, masks = exported / f"{image.image_id}.dcm", run.masks(image)
        ours = read_dicom_mask(path.read_bytes())
        for name, mask in zip(NAMES, masks, strict=True):
            assert (ours.plane_of(name, (name,), set(NAMES)).pixels == mask).all()
        assert (pydicom.dcmread(path).pixel_array.reshape(masks.shape) == masks).all()
        source = pydicom.dcmread(run.path(image)).SOPInstanceUID
        theirs = highdicom.seg.segread(path).get_pixels_by_source_instance([source])
        assert (np.moveaxis(theirs[0], -1, 0) == masks).all()


def test_segments_have_codes_and_what_found_them(exported):
    seg = highdicom.seg.segread(exported / f"{FIRST}.dcm")
    lung, heart = (seg.get_segment_description(number) for number in (1, 2))
    assert lung.segmented_property_type == pydicom.sr.codedict.codes.SCT.Lung
    assert heart.segmented_property_type.scheme_designator == "99SEGPIPE"
    assert [lung.segment_label, heart.segment_label] == list(NAMES)
    assert lung.algorithm_identification.name == "segpipe"
    assert len(lung.algorithm_identification.parameters["weights_sha256"]) == 64


def test_of_the_source_it_has_patient_study_and_nothing_else(run, exported):
    content = (exported / f"{FIRST}.dcm").read_bytes()
    source, seg = (
        pydicom.dcmread(run.config.data.root / f"images/{FIRST}.dcm"),
        pydicom.dcmread(exported / f"{FIRST}.dcm"),
    )
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "StudyTime"):
        assert seg[keyword].value == source[keyword].value
    assert b"SECRET" in (run.config.data.root / f"images/{FIRST}.dcm").read_bytes()
    assert b"SECRET" not in content


def test_its_dates_are_the_source_s(exported):
    seg = pydicom.dcmread(exported / f"{FIRST}.dcm")
    assert (seg.ContentDate, seg.ContentTime) == ("20200102", "030405")
    other = pydicom.dcmread(exported / "syn0002_pa1.dcm")
    assert (other.ContentDate, other.ContentTime) == ("19000101", "000000")
    rows = index(exported)
    assert [rows[name]["notes"] for name in (FIRST, "syn0002_pa1")] == ["", "date_unknown"]


def test_uids_are_those_of_the_content(exported):
    files = [pydicom.dcmread(path) for path in exported.glob("*.dcm")]
    assert len({file.SOPInstanceUID for file in files}) == len(files) == 5
    assert all(file.SOPInstanceUID.startswith("2.25.") and file.SOPInstanceUID.is_valid for file in files)


def test_who_asks_for_it_is_warned(config, tmp_path, caplog):
    export_masks(config, "seg", tmp_path, [FIRST])
    assert "carry the patient of their source" in caplog.text


def test_without_highdicom_it_says_what_to_install(config, tmp_path, monkeypatch):
    monkeypatch.setattr("segpipe.interop.seg.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'segpipe\[seg\]'"):
        export_masks(config, "seg", tmp_path)


def test_other_images_are_rows_with_a_reason(exported):
    reason = index(exported)["syn0001_pa1"]["reason"]
    assert reason == "its image is no DICOM file (PNG), so there is no study to belong to"


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("NumberOfFrames", 2, "has 2 frames; a SEG is written for files of one frame"),
        ("StudyInstanceUID", "", "has no StudyInstanceUID"),
        ("Rows", 7, "rows and columns are not those of the mask"),
    ],
)
def test_sources_that_none_can_belong_to(keyword, value, message, run, tmp_path):
    image = next(image for image in usable(run) if image.image_id == FIRST)
    dataset = pydicom.dcmread(run.path(image))
    setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    with pytest.raises(ImageError, match="changed since the run"):
        read_source(tmp_path / "x.dcm", image)
    sha256 = hashlib.sha256((tmp_path / "x.dcm").read_bytes()).hexdigest()
    with pytest.raises(ImageError, match=message):
        read_source(tmp_path / "x.dcm", replace(image, sha256=sha256))


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientSex", "U"), ("PatientBirthDate", "JAN 1970"), ("PatientName", "Doe\\Jane")]
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
def test_a_header_that_no_seg_may_repeat_costs_one_row_and_is_not_quoted(keyword, value, run, tmp_path, monkeypatch):
    first, *others = (image for image in usable(run) if image.format == "DICOM")
    dataset = pydicom.dcmread(run.path(first))
    setattr(dataset, keyword, value)
    monkeypatch.setattr(
        "segpipe.interop.seg.read_source", lambda path, image: dataset if image == first else pydicom.dcmread(path)
    )
    refused, done = export(run, tmp_path, [first, others[0]])
    assert refused.files == ()
    assert "its image's header has a value that no SEG may repeat" in refused.reason
    assert not {"U", "1970", "Doe"} & set(re.split(r"\W+", refused.reason))
    assert done.files == (f"{others[0].image_id}.dcm",)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs Debian's package dicom3tools")
def test_dciodvfy_finds_no_error(exported):
    for path in exported.glob("*.dcm"):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
        assert "Segmentation" in said.stdout + said.stderr
        assert "Error" not in said.stdout + said.stderr
