"""What is a projection radiograph is read, and of everything else the reason says what it is."""

from typing import Any

import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from segpipe.errors import ImageError
from segpipe.images.dicom.accept import RADIOGRAPHY
from segpipe.images.read import read_radiograph
from tests.unit.images.pictures import SECRET, asymmetric, dicom_file, saved

CAPTURE = uid.SecondaryCaptureImageStorage


@pytest.mark.parametrize(
    ("modality", "sop_class", "reason"),
    [
        ("CT", uid.CTImageStorage, "its modality is CT, its SOP class CT Image Storage"),
        ("MR", uid.MRImageStorage, "its modality is MR, its SOP class MR Image Storage"),
        ("US", uid.UltrasoundImageStorage, "its modality is US, its SOP class"),
        ("NM", uid.NuclearMedicineImageStorage, "its modality is NM, its SOP class"),
        ("PT", uid.PositronEmissionTomographyImageStorage, "its modality is PT, its SOP class"),
        ("SEG", uid.SegmentationStorage, "its modality is SEG, its SOP class Segmentation Storage"),
        ("SR", uid.BasicTextSRStorage, "its modality is SR, its SOP class Basic Text SR"),
        ("SR", uid.XRayRadiationDoseSRStorage, "SOP class X-Ray Radiation Dose SR"),
        ("DOC", uid.EncapsulatedPDFStorage, "its modality is DOC, its SOP class Encapsulated PDF"),
        ("OT", uid.EncapsulatedPDFStorage, "its modality is OT, its SOP class Encapsulated PDF"),
        ("KO", uid.KeyObjectSelectionDocumentStorage, "its modality is KO, its SOP class"),
        ("PR", uid.GrayscaleSoftcopyPresentationStateStorage, "its modality is PR, its SOP class"),
        ("RTIMAGE", uid.RTImageStorage, "its modality is RTIMAGE, its SOP class"),
        ("RTDOSE", uid.RTDoseStorage, "its modality is RTDOSE, its SOP class"),
        ("RTPLAN", uid.RTPlanStorage, "its modality is RTPLAN, its SOP class"),
        ("RTSTRUCT", uid.RTStructureSetStorage, "its modality is RTSTRUCT, its SOP class"),
        ("SM", uid.VLWholeSlideMicroscopyImageStorage, "its modality is SM, its SOP class"),
        ("ECG", uid.TwelveLeadECGWaveformStorage, "its modality is ECG, its SOP class"),
        ("XC", uid.VLPhotographicImageStorage, "its modality is XC, its SOP class"),
        ("BMD", CAPTURE, "its modality is BMD, its SOP class"),
        ("OT", CAPTURE, "its modality is OT, its SOP class Secondary Capture"),
        ("SC", CAPTURE, "its modality is SC, its SOP class"),
        (SECRET, "1.2.3.999", "none that segpipe knows, its SOP class unregistered"),
        (None, uid.CTImageStorage, "modality is missing, its SOP class CT Image"),
        (None, "1.2.3.999", "modality is missing, its SOP class unregistered"),
        ("DX", uid.CTImageStorage, "modality is DX, its SOP class CT Image"),
        ("CR", uid.EncapsulatedPDFStorage, "modality is CR, its SOP class Encapsulated PDF"),
        ("DX", uid.GrayscaleSoftcopyPresentationStateStorage, "modality is DX, its SOP class Grayscale Softcopy"),
        ("MG", uid.BreastTomosynthesisImageStorage, "Breast Tomosynthesis Image Storage"),
        ("XA", uid.EnhancedXAImageStorage, "Enhanced XA Image Storage"),
        ("RF", uid.EnhancedXRFImageStorage, "Enhanced XRF Image Storage"),
        ("XA", uid.XRay3DAngiographicImageStorage, "X-Ray 3D Angiographic"),
        ("DX", uid.MediaStorageDirectoryStorage, "DICOMDIR"),
    ],
)
@pytest.mark.parametrize("pixels", [True, False])
def test_other_objects_are_refused_and_named(modality: str | None, sop_class: str, reason: str, pixels: bool) -> None:
    tags: dict[str, Any] = {"Modality": modality, "SOPClassUID": sop_class} | ({} if pixels else {"PixelData": None})
    with pytest.raises(ImageError, match=reason) as caught:
        read_radiograph(dicom_file(asymmetric(), 8, **tags))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "SOPClassUID": CAPTURE}, r"colour picture \(RGB\)"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422"}, r"colour picture \(YBR_FULL_422\)"),
        ({"SamplesPerPixel": 3}, r"colour picture \(3 samples per pixel\)"),
        ({"SOPClassUID": uid.MultiFrameTrueColorSecondaryCaptureImageStorage, "SamplesPerPixel": 3}, "colour picture"),
    ],
)
def test_colour_is_refused_whatever_the_modality(tags: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_radiograph(dicom_file(asymmetric(), 8, **tags))


@pytest.mark.parametrize("modality", RADIOGRAPHY)
@pytest.mark.parametrize(
    "sop_class",
    [
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        CAPTURE,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        "1.2.3.999",  # a maker's own
    ],
)
def test_every_radiographic_modality_is_read_from_every_radiographic_class(modality: str, sop_class: str) -> None:
    decisions = read_radiograph(dicom_file(asymmetric(), 8, Modality=modality, SOPClassUID=sop_class)).decisions
    assert (decisions.modality, decisions.notes) == (modality, ())


@pytest.mark.parametrize(
    ("sop_class", "modality", "notes"),
    [
        (uid.DigitalMammographyXRayImageStorageForPresentation, "MG", ("modality_from_sop_class",)),
        (uid.DigitalMammographyXRayImageStorageForProcessing, "MG", ("for_processing", "modality_from_sop_class")),
        (uid.XRayAngiographicImageStorage, "XA", ("modality_from_sop_class",)),
        (CAPTURE, "", ("modality_unknown",)),
    ],
)
def test_a_missing_modality_is_the_classs_or_unknown(sop_class: str, modality: str, notes: Any) -> None:
    decisions = read_radiograph(dicom_file(asymmetric(), 8, Modality=None, SOPClassUID=sop_class)).decisions
    assert (decisions.modality, decisions.notes) == (modality, notes)


def test_a_dicomdir_is_one_even_where_it_holds_nothing_else() -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.FileSetID = SECRET
    with pytest.raises(ImageError, match="DICOMDIR"):
        read_radiograph(saved(dataset))


def test_raw_data_for_processing_are_noted() -> None:
    data = dicom_file(asymmetric(), 8, Modality="CR", PresentationIntentType="FOR PROCESSING")
    assert read_radiograph(data).decisions.notes == ("for_processing",)
