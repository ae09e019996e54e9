"""The phantom folder: deterministic, and as varied as it promises."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from segpipe.demo.dicom import DicomVariant
from segpipe.demo.files import Phantom, make_phantoms, plan
from segpipe.demo.render import render

SCALE = 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, scale=SCALE)
    return folder


def sheet(folder: Path) -> list[dict[str, str]]:
    with (folder / "samples.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def headers(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("images/*.dcm"))]


def displayed(path: Path) -> np.ndarray:
    """Bone-bright values in 0..1, by the shortest possible reading of the phantom's own files."""
    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array.astype(np.float64)
    low, high = 0.0, 2.0**dataset.BitsStored - 1
    if "WindowCenter" in dataset:
        values = values * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        low = float(dataset.WindowCenter) - float(dataset.WindowWidth) / 2
        high = low + float(dataset.WindowWidth)
    values = (values - low) / (high - low)
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


def raster(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


def readable(phantom: Phantom) -> bool:
    return isinstance(phantom.kind, DicomVariant) and not phantom.broken


def test_same_seed_gives_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_phantoms(tmp_path / name, count=12, seed=seed, scale=0.12)
    first, second, other = (digests(tmp_path / name) for name in "abc")
    assert first == second
    assert first.keys() == other.keys()
    assert not {path for path in first if path.startswith("images") and first[path] == other[path]}


def test_sheet_lists_every_file_and_nothing_else(folder: Path) -> None:
    rows = sheet(folder)
    listed = {row[column] for row in rows for column in ("image", "mask_lung", "mask_heart")} - {""}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} - {"samples.csv"}
    assert len(rows) == 48
    assert listed == found


def test_half_are_dicom_and_half_are_png(folder: Path) -> None:
    assert len(list(folder.glob("images/*.dcm"))) == len(list(folder.glob("images/*.png"))) == 24


def test_four_images_have_no_masks_and_they_are_of_both_formats(folder: Path) -> None:
    unlabelled = [row["image"] for row in sheet(folder) if not row["mask_lung"]]
    assert len(unlabelled) == 4
    assert {Path(image).suffix for image in unlabelled} == {".dcm", ".png"}


def test_file_names_follow_the_pattern_of_patient_and_view(folder: Path) -> None:
    for row in sheet(folder):
        assert Path(row["image"]).stem == f"{row['patient']}_{row['view']}"


def test_some_patients_have_two_images(folder: Path) -> None:
    patients = [row["patient"] for row in sheet(folder)]
    assert len(patients) - len(set(patients)) >= 3


def test_exactly_two_images_cannot_be_read_and_both_have_masks(folder: Path) -> None:
    broken = []
    for row in sheet(folder):
        path = folder / row["image"]
        try:
            pydicom.dcmread(path).pixel_array if path.suffix == ".dcm" else raster(path)
        except (OSError, ValueError):
            broken.append(row)
    assert sorted(Path(row["image"]).suffix for row in broken) == [".dcm", ".png"]
    assert all(row["mask_lung"] and row["mask_heart"] for row in broken)


def test_dicom_files_cover_photometric_bits_syntaxes_and_modalities(folder: Path) -> None:
    datasets = headers(folder)
    assert {data.PhotometricInterpretation for data in datasets} == {"MONOCHROME1", "MONOCHROME2"}
    assert {data.BitsStored for data in datasets} == {8, 10, 12, 14}
    names = {data.file_meta.TransferSyntaxUID.name for data in datasets}
    assert names == {"Explicit VR Little Endian", "Implicit VR Little Endian", "RLE Lossless"}
    assert {data.Modality for data in datasets} == {"CR", "DX"}


def test_dicom_files_cover_spacings_windows_and_rescaling(folder: Path) -> None:
    datasets = headers(folder)
    spacings = {("PixelSpacing" in data, "ImagerPixelSpacing" in data) for data in datasets}
    assert spacings == {(True, True), (True, False), (False, True), (False, False)}
    assert {"WindowCenter" in data for data in datasets} == {True, False}
    assert {float(data.get("RescaleSlope", 1)) for data in datasets} == {0.5, 1.0, 2.0}
    assert {data.get("PresentationLUTShape", "") for data in datasets} == {"", "IDENTITY", "INVERSE"}


def test_png_files_cover_8_and_16_bits_and_colour(folder: Path) -> None:
    whole = [phantom for phantom in plan(48, SCALE) if isinstance(phantom.kind, str) and not phantom.broken]
    modes = {raster(folder / phantom.image).mode for phantom in whole}
    assert modes == {"L", "I;16", "RGB"}


def test_dicom_files_carry_no_date_and_a_visibly_invented_patient(folder: Path) -> None:
    for data in headers(folder):
        assert data.PatientID.startswith("SYNTHETIC-")
        assert "Synthetic" in str(data.PatientName)
        assert not [element for element in data if element.VR in ("DA", "TM", "DT") and element.value]


def test_every_uid_is_unique_to_its_image_and_shared_within_a_study(folder: Path) -> None:
    datasets = headers(folder)
    assert len({data.SOPInstanceUID for data in datasets}) == len(datasets)
    studies = {(data.PatientID, data.StudyInstanceUID) for data in datasets}
    assert len(studies) == len({data.PatientID for data in datasets})


@pytest.mark.parametrize("phantom", [*filter(readable, plan(48, SCALE))][:9], ids=lambda phantom: phantom.stem)
def test_a_dicom_file_shows_the_rendered_picture(folder: Path, phantom: Phantom) -> None:
    index = [other.stem for other in plan(48, SCALE)].index(phantom.stem)
    pixels, _ = render(phantom.number, index, phantom.shape)
    assert isinstance(phantom.kind, DicomVariant)
    step = 1.0 / (0.55 * 2**phantom.kind.bits_stored)
    np.testing.assert_allclose(displayed(folder / phantom.image), pixels, atol=step)


def test_masks_are_0_and_255_and_as_large_as_their_image(folder: Path) -> None:
    for phantom in plan(48, SCALE):
        if phantom.labelled:
            mask = np.asarray(raster(folder / phantom.mask("lung")))
            assert mask.shape == phantom.shape
            assert set(np.unique(mask)) == {0, 255}


def test_fewer_than_six_images_are_all_whole(tmp_path: Path) -> None:
    make_phantoms(tmp_path, count=2, scale=0.12)
    assert pydicom.dcmread(next(tmp_path.glob("images/*.dcm"))).pixel_array.size
    assert raster(next(tmp_path.glob("images/*.png"))).size
