"""Which DICOM objects are radiographs that segpipe reads, and what to say of the others."""

from dataclasses import dataclass

from pydicom import uid

from segpipe.errors import ImageError
from segpipe.io.dicom_header import Header, name_of
from segpipe.io.dicom_lut import Words
from segpipe.io.source import check_size

RADIOGRAPHY = ("CR", "DX", "MG", "RG", "PX", "IO", "XA", "RF")
OTHER_MODALITIES = {
    "CT": "computed tomography",
    "MR": "magnetic resonance",
    "US": "ultrasound",
    "NM": "nuclear medicine",
    "PT": "positron emission tomography",
    "SEG": "a segmentation",
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a key object selection",
    "DOC": "a document",
    "OT": "another kind of picture",
    "SC": "a secondary capture",
    "ES": "endoscopy",
    "XC": "a photograph",
    "GM": "microscopy",
    "SM": "slide microscopy",
    "OP": "ophthalmic photography",
    "OPT": "ophthalmic tomography",
    "ECG": "an electrocardiogram",
    "REG": "a registration",
    "RTDOSE": "a radiotherapy dose",
    "RTIMAGE": "a radiotherapy image",
    "RTPLAN": "a radiotherapy plan",
    "RTSTRUCT": "a radiotherapy structure set",
}
MODALITY_OF_CLASS = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.DigitalXRayImageStorageForProcessing: "DX",
    uid.DigitalMammographyXRayImageStorageForPresentation: "MG",
    uid.DigitalMammographyXRayImageStorageForProcessing: "MG",
    uid.DigitalIntraOralXRayImageStorageForPresentation: "IO",
    uid.DigitalIntraOralXRayImageStorageForProcessing: "IO",
    uid.XRayAngiographicImageStorage: "XA",
    uid.XRayRadiofluoroscopicImageStorage: "RF",
}
FOR_PROCESSING = (
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalIntraOralXRayImageStorageForProcessing,
)
COLOUR = ("RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422",
          "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")  # fmt: skip
PIXEL_DATA_TAG = b"\xe0\x7f\x10\0"


@dataclass(frozen=True)
class Picture:
    """What a header that was found acceptable says of its picture."""

    rows: int
    columns: int
    words: Words
    modality: str
    photometric: str


def check(header: Header, data: bytes) -> Picture:
    """Return the picture's description; raises ImageError saying what the object is instead."""
    modality = _modality(header)
    _check_pixel_data(header, data)
    photometric = _photometric(header)
    frames = header.integer("NumberOfFrames")
    if frames is not None and frames != 1:
        raise ImageError(f"has {frames} frames; segpipe reads single pictures, so export the frame that is meant")
    rows, columns = header.integer("Rows"), header.integer("Columns")
    if rows is None or columns is None:
        raise ImageError("does not say how many rows and columns it has; export it again")
    check_size(rows, columns)
    return Picture(rows, columns, _words(header), modality, photometric)


def _modality(header: Header) -> str:
    """The Modality (C.7.3.1.1.1), else what the SOP class implies; empty where neither is known."""
    sop_class = header.sop_class
    if sop_class == uid.MediaStorageDirectoryStorage:
        raise ImageError("is a DICOMDIR, a list of files and no picture; name the files themselves")
    modality = header.term("Modality")
    if modality in RADIOGRAPHY or (not modality and sop_class in MODALITY_OF_CLASS):
        if sop_class in FOR_PROCESSING:
            header.note("for_processing")
        if not modality:
            header.note("modality_from_sop_class")
        return modality or MODALITY_OF_CLASS[sop_class]
    if not modality and sop_class in ("", uid.SecondaryCaptureImageStorage):
        header.note("modality_unknown")
        return ""
    what = f"{modality}, {OTHER_MODALITIES[modality]}" if modality in OTHER_MODALITIES else "none that segpipe knows"
    raise ImageError(
        f"is no projection radiograph: its modality is {what if modality else 'missing'}, "
        f"its SOP class {name_of(sop_class) if sop_class else 'missing'}; segpipe reads {', '.join(RADIOGRAPHY)}"
    )


def _check_pixel_data(header: Header, data: bytes) -> None:
    dataset = header.dataset
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ImageError("has floating-point pixel data, which no radiograph has; export it with 16 bits")
    if header.get("PixelData") is not None:
        return
    if PIXEL_DATA_TAG in data or b"\x7f\xe0\0\x10" in data:
        raise ImageError("ends within its pixel data: the file is cut off or empty; copy it again")
    raise ImageError("has no pixel data: it is a header without a picture, or was cut off; copy it again")


def _photometric(header: Header) -> str:
    photometric = header.term("PhotometricInterpretation")
    samples = header.integer("SamplesPerPixel")
    if photometric in COLOUR or (samples is not None and samples != 1):
        what = photometric if photometric in COLOUR else f"{samples} samples per pixel"
        raise ImageError(f"is a colour picture ({what}), not a radiograph; leave it out or export it as grey")
    if photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise ImageError("has an unknown photometric interpretation, so its greys have no meaning; export it again")
    return photometric


def _words(header: Header) -> Words:
    """Bits Allocated, Bits Stored, High Bit and Pixel Representation (C.7.6.3.1), checked against each other."""
    allocated = header.integer("BitsAllocated")
    if allocated not in (8, 16):
        raise ImageError(
            f"has {allocated or 'unknown'} bits allocated per pixel, radiographs have 8 or 16; export it so"
        )
    stored, high = header.integer("BitsStored"), header.integer("HighBit")
    if stored is None:
        header.note("bits_stored_absent")
        stored = allocated
    if high is None or (header.transfer_syntax.is_compressed and header.transfer_syntax != uid.RLELossless):
        high = stored - 1  # codestreams hold values, not words
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise ImageError(
            f"contradicts itself: {stored} bits stored, high bit {high}, of {allocated} allocated; export it again"
        )
    sign = header.integer("PixelRepresentation")
    if sign not in (0, 1):
        header.note("pixel_representation_absent")
    return Words(allocated, stored, high, sign == 1)
