"""A phantom as a DICOM file: CR Image or Digital X-Ray Image (for presentation), DICOM PS3.3 A.2 and A.26."""

import hashlib
from io import BytesIO

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

from segpipe.demo.plan import DicomVariant, Phantom, Spacing

_DETECTOR_MM = 350.0  # the shorter side of the picture
_MAGNIFICATION = 1.1  # detector distance over patient distance


def encode_dicom(pixels: np.ndarray, phantom: Phantom, variant: DicomVariant, seed: int) -> bytes:
    """The file of ``pixels``, (rows, columns) float32 in [0, 1], bone bright; same seed, same bytes."""
    meta = _file_meta(phantom, variant, seed)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(dataset, phantom, seed)
    _describe(dataset, variant)
    _space(dataset, variant.spacing, _DETECTOR_MM / min(pixels.shape))
    stored = _stored(pixels, variant)
    _put_pixels(dataset, stored, variant)
    if variant.syntax == "rle":
        dataset.compress(RLELossless, stored, generate_instance_uid=False)
    if phantom.broken:
        dataset.PixelData = dataset.PixelData[: stored.nbytes // 4 * 2]  # an even number of bytes, about half
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _uid(*parts: object) -> UID:
    """A UID under 2.25 (DICOM PS3.5 B.2), the same for the same parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16])}")


def _file_meta(phantom: Phantom, variant: DicomVariant, seed: int) -> FileMetaDataset:
    meta = FileMetaDataset()
    is_dx = variant.modality == "DX"
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(seed, phantom.stem)
    implicit = variant.syntax == "implicit"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("segpipe phantom")
    meta.ImplementationVersionName = "SEGPIPE_PHANTOM"
    return meta


def _identify(dataset: FileDataset, phantom: Phantom, seed: int) -> None:
    """Patient, study, series and instance; everything invented and visibly so, no dates."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(seed, phantom.patient, "study")
    dataset.SeriesInstanceUID = _uid(seed, phantom.stem, "series")
    dataset.PatientID = f"SYNTHETIC-{phantom.patient_number:04d}"
    dataset.PatientName = f"Phantom^Synthetic {phantom.patient_number:04d}"
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
    """Lowest and highest stored value of the picture; with a window there is room on both sides of it."""
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
