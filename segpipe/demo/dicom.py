"""A phantom as a DICOM file: CR Image or Digital X-Ray Image (for presentation), DICOM PS3.3 A.2 and A.26."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

Spacing = Literal["PixelSpacing", "ImagerPixelSpacing", "both", "none"]


@dataclass(frozen=True)
class DicomVariant:
    """How the same image is put into a DICOM file."""

    modality: Literal["CR", "DX"]
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    bits_stored: int
    syntax: Literal["explicit", "implicit", "rle"]
    spacing: Spacing
    window: bool = False
    slope: float = 1.0  # RescaleSlope; only CR may have another than 1
    intercept: float = 0.0


DICOM_VARIANTS = (
    DicomVariant("DX", "MONOCHROME2", 12, "explicit", "ImagerPixelSpacing", window=True),
    DicomVariant("CR", "MONOCHROME1", 10, "implicit", "PixelSpacing"),
    DicomVariant("DX", "MONOCHROME1", 14, "explicit", "both", window=True),
    DicomVariant("CR", "MONOCHROME2", 8, "implicit", "none"),
    DicomVariant("CR", "MONOCHROME2", 12, "explicit", "PixelSpacing", window=True, slope=2.0, intercept=-1024),
    DicomVariant("DX", "MONOCHROME2", 14, "rle", "both"),
    DicomVariant("CR", "MONOCHROME1", 12, "explicit", "ImagerPixelSpacing", window=True, slope=0.5),
    DicomVariant("DX", "MONOCHROME1", 12, "rle", "ImagerPixelSpacing"),
    DicomVariant("CR", "MONOCHROME2", 10, "rle", "PixelSpacing", window=True),
)

_DETECTOR_MM = 350.0  # the shorter side of the image
_MAGNIFICATION = 1.1  # detector distance over patient distance


def encode_dicom(
    pixels: np.ndarray, variant: DicomVariant, patient: str, stem: str, seed: int, *, broken: bool = False
) -> bytes:
    """The file of ``pixels``, (rows, columns) float32 in [0, 1], bone bright; same arguments, same bytes.

    ``stem`` tells the image from others of ``patient``, which is "syn" and four digits. A ``broken`` file lacks about
    half of its pixels.
    """
    meta = _file_meta(variant, _uid(seed, stem))
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(dataset, patient, stem, seed)
    _describe(dataset, variant)
    _space(dataset, variant.spacing, _DETECTOR_MM / min(pixels.shape))
    stored = _stored(pixels, variant)
    _put_pixels(dataset, stored, variant)
    if variant.syntax == "rle":
        dataset.compress(RLELossless, stored, generate_instance_uid=False)
    if broken:
        dataset.PixelData = dataset.PixelData[: stored.nbytes // 4 * 2]  # an even number of bytes, about half
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _uid(*parts: object) -> UID:
    """A UID under 2.25 (DICOM PS3.5 B.2), the same for the same parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16])}")


def _file_meta(variant: DicomVariant, instance: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    is_dx = variant.modality == "DX"
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = instance
    implicit = variant.syntax == "implicit"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("segpipe phantom")
    meta.ImplementationVersionName = "SEGPIPE_PHANTOM"
    return meta


def _identify(dataset: FileDataset, patient: str, stem: str, seed: int) -> None:
    """Patient, study, series and instance; everything invented and visibly so, no dates."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(seed, patient, "study")
    dataset.SeriesInstanceUID = _uid(seed, stem, "series")
    number = patient.removeprefix("syn")
    dataset.PatientID, dataset.PatientName = f"SYNTHETIC-{number}", f"Phantom^Synthetic {number}"
    dataset.Manufacturer = "segpipe phantom"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.ReferringPhysicianName = ""
    dataset.ImageComments = "Synthetic picture, not of a person"


def _describe(dataset: FileDataset, variant: DicomVariant) -> None:
    dataset.Modality = variant.modality
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    if variant.modality == "CR":
        return
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if variant.photometric == "MONOCHROME2" else 1
    dataset.PresentationLUTShape = "IDENTITY" if variant.photometric == "MONOCHROME2" else "INVERSE"
    dataset.ImageLaterality, dataset.DetectorType = "U", "DIRECT"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    dataset.RescaleType = "US"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _space(dataset: FileDataset, spacing: Spacing, detector_mm: float) -> None:
    """Imager spacing is measured at the detector; pixel spacing in the patient, which is magnified."""
    if spacing in ("ImagerPixelSpacing", "both"):
        dataset.ImagerPixelSpacing = [f"{detector_mm:.4f}"] * 2
    if spacing in ("PixelSpacing", "both"):
        dataset.PixelSpacing = [f"{detector_mm / _MAGNIFICATION:.4f}"] * 2
    if spacing == "both":
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
        dataset.PixelSpacingCalibrationDescription = "invented magnification 1.1"


def _used(variant: DicomVariant) -> tuple[int, int]:
    """Lowest and highest stored value of the image; with a window there is room on both sides of it."""
    full = (1 << variant.bits_stored) - 1
    return (full // 10, full * 7 // 10) if variant.window else (0, full)


def _stored(pixels: np.ndarray, variant: DicomVariant) -> np.ndarray:
    """Stored values, (rows, columns) uint8 or uint16, turned over for MONOCHROME1."""
    low, high = _used(variant)
    stored = np.rint(low + pixels.astype(np.float64) * (high - low))
    if variant.photometric == "MONOCHROME1":
        stored = (1 << variant.bits_stored) - 1 - stored
    return stored.astype(np.uint8 if variant.bits_stored <= 8 else np.uint16)


def _put_pixels(dataset: FileDataset, stored: np.ndarray, variant: DicomVariant) -> None:
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = variant.photometric
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = variant.bits_stored, variant.bits_stored - 1
    if variant.modality == "DX" or (variant.slope, variant.intercept) != (1.0, 0.0):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{variant.slope:g}", f"{variant.intercept:g}"
    if variant.window:
        low, high = _used(variant)
        middle = (low + high) / 2
        if variant.photometric == "MONOCHROME1":
            middle = (1 << variant.bits_stored) - 1 - middle
        dataset.WindowCenter = f"{middle * variant.slope + variant.intercept:g}"
        dataset.WindowWidth = f"{(high - low) * variant.slope:g}"
    values = stored.tobytes()
    dataset.PixelData = values + b"\0" * (len(values) % 2)
    dataset["PixelData"].VR = "OB" if variant.bits_stored <= 8 and variant.syntax != "implicit" else "OW"
