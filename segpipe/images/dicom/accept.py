"""Which DICOM objects are radiographs that segpipe reads, and what to say of the others.

A projection radiograph is told by Modality (PS3.3 C.7.3.1.1.1) and SOP class (PS3.4 B.5); then its pixels must be
grey and of a size, depth and layout that make sense (C.7.6.3.1).
"""

from dataclasses import dataclass

import numpy as np
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.dicom.header import Header, name_of

RADIOGRAPHY = ("CR", "DX", "MG", "RG", "PX", "IO", "XA", "RF")
OTHER_MODALITIES = (
    "AS", "AU", "BDUS", "BI", "BMD", "CF", "CT", "DF", "DG", "DMS", "DOC", "DS", "EC", "ECG", "EPS", "ES", "FID", "GM",
    "HC", "HD", "IVOCT", "IVUS", "KO", "MR", "NM", "OCT", "OP", "OPT", "OT", "PLAN", "PR", "PT", "REG", "RESP",
    "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT", "SC", "SEG", "SM", "SMR", "SR", "TG", "US", "XC",
)  # fmt: skip
"""Terms that may be shown; any other text in Modality may be a name."""

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
OF_ANY_MODALITY = (
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,  # refused for its colour
)
# their greys, window and spacing are those of functional groups, for each frame (C.7.6.16), or they are no projections
BY_FRAME = (
    uid.EnhancedXAImageStorage,
    uid.EnhancedXRFImageStorage,
    uid.XRay3DAngiographicImageStorage,
    uid.XRay3DCraniofacialImageStorage,
    uid.BreastTomosynthesisImageStorage,
    uid.BreastProjectionXRayImageStorageForPresentation,
    uid.BreastProjectionXRayImageStorageForProcessing,
)

COLOUR = ("RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422",
          "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")  # fmt: skip
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
PIXEL_DATA_TAG = b"\xe0\x7f\x10\0"


@dataclass(frozen=True)
class Words:
    """How a stored value lies in its word (C.7.6.3.1, PS3.5 8.1.1)."""

    allocated: int  # 8 or 16
    stored: int
    high: int
    signed: bool

    @property
    def unused_mask(self) -> int:
        """The bits of a word that do not belong to the value."""
        used = ((1 << self.stored) - 1) << (self.high + 1 - self.stored)
        return ((1 << self.allocated) - 1) & ~used

    def values(self) -> np.ndarray:
        """The stored value of every word, float64, (2 ** allocated,)."""
        words = np.arange(1 << self.allocated)
        values = (words >> (self.high + 1 - self.stored)) & ((1 << self.stored) - 1)
        if self.signed:
            values = np.where(values >> (self.stored - 1), values - (1 << self.stored), values)
        return values.astype(np.float64)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and largest value that can be stored."""
        if self.signed:
            return -float(1 << (self.stored - 1)), float((1 << (self.stored - 1)) - 1)
        return 0.0, float((1 << self.stored) - 1)


@dataclass(frozen=True)
class DicomImage:
    """What a header that was found acceptable says of its picture."""

    rows: int
    columns: int
    words: Words
    modality: str
    photometric: str
    frames: int = 1


def check(header: Header, data: bytes) -> DicomImage:
    """Return the picture's description; raises ImageError saying what the object is instead."""
    modality = radiographic_modality(header)
    _check_read(header)
    _check_pixel_data(header, data)
    photometric = _photometric(header)
    frames = _frames(header)
    rows, columns = header.integer("Rows"), header.integer("Columns")
    if rows is None or columns is None:
        raise ImageError("does not say how many rows and columns it has; export it again")
    words = _words(header)
    check_size(rows, columns, words.allocated // 8)
    return DicomImage(rows, columns, words, modality, photometric, frames)


def radiographic_modality(header: Header) -> str:
    """The Modality, else what the SOP class implies; empty where neither is known.

    Raises ImageError saying what the object is where either says that it is no projection radiograph.
    """
    sop_class = header.sop_class
    if sop_class == uid.MediaStorageDirectoryStorage:
        raise ImageError("is a DICOMDIR, a list of files and no picture; name the files themselves")
    if sop_class in BY_FRAME:
        raise ImageError(
            f"is a {name_of(sop_class)} object, which states grey values and spacing for each frame apart; "
            "export the frame that is meant as a single picture"
        )
    modality = header.term("Modality")
    if not _may_be_radiograph(modality, sop_class):
        raise ImageError(_what_it_is(modality, sop_class))
    if name_of(sop_class).endswith("For Processing") or header.term("PresentationIntentType") == "FOR PROCESSING":
        header.note("for_processing")
    if modality:
        return modality
    header.note("modality_from_sop_class" if sop_class in MODALITY_OF_CLASS else "modality_unknown")
    return MODALITY_OF_CLASS.get(sop_class, "")


def _may_be_radiograph(modality: str, sop_class: uid.UID) -> bool:
    if modality and modality not in RADIOGRAPHY:
        return False
    if sop_class in MODALITY_OF_CLASS or sop_class in ("", *OF_ANY_MODALITY):
        return True
    return bool(modality) and name_of(sop_class) == "unregistered"  # some makers have classes of their own


def _what_it_is(modality: str, sop_class: uid.UID) -> str:
    if modality in RADIOGRAPHY or modality in OTHER_MODALITIES:
        what = modality
    else:
        what = "none that segpipe knows" if modality else "missing"
    return (
        f"is no projection radiograph: its modality is {what}, "
        f"its SOP class {name_of(sop_class) if sop_class else 'missing'}; "
        f"segpipe reads {', '.join(RADIOGRAPHY)}"
    )


def _check_read(header: Header) -> None:
    """Refuse a file of which nothing was understood, most often because it states a wrong transfer syntax."""
    if len(header.dataset) == 0:
        raise ImageError(
            f"holds nothing that can be read as {name_of(header.transfer_syntax)}, which it states as its transfer "
            "syntax; export it again"
        )


def _frames(header: Header) -> int:
    """Number of Frames (C.7.6.6.1.1), 1 where absent; some writers state 0 for a single picture."""
    frames = header.integer("NumberOfFrames")
    if frames == 0:
        header.note("number_of_frames_zero")
    return frames or 1


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
    if high is None or header.transfer_syntax not in (*NATIVE, uid.RLELossless):
        high = stored - 1  # codestreams hold values, not words
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise ImageError(
            f"contradicts itself: {stored} bits stored, high bit {high}, of {allocated} allocated; export it again"
        )
    sign = header.integer("PixelRepresentation")
    if sign not in (0, 1):
        header.note("pixel_representation_absent")
    return Words(allocated, stored, high, sign == 1)
