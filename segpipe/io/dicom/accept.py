"""Which DICOM objects are radiographs that segpipe reads, and what to say of the others."""

from dataclasses import dataclass

from pydicom import uid

from segpipe.errors import ImageError
from segpipe.io.dicom.header import Header, name_of
from segpipe.io.dicom.kinds import radiographic_modality
from segpipe.io.dicom.words import Words
from segpipe.io.source import check_size

COLOUR = ("RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422",
          "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")  # fmt: skip
HOLDING_WORDS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
)
PIXEL_DATA_TAG = b"\xe0\x7f\x10\0"


@dataclass(frozen=True)
class Picture:
    """What a header that was found acceptable says of its picture."""

    rows: int
    columns: int
    words: Words
    modality: str
    photometric: str
    frames: int = 1


def check(header: Header, data: bytes) -> Picture:
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
    return Picture(rows, columns, words, modality, photometric, frames)


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
    if high is None or header.transfer_syntax not in HOLDING_WORDS:
        high = stored - 1  # codestreams hold values, not words
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise ImageError(
            f"contradicts itself: {stored} bits stored, high bit {high}, of {allocated} allocated; export it again"
        )
    sign = header.integer("PixelRepresentation")
    if sign not in (0, 1):
        header.note("pixel_representation_absent")
    return Words(allocated, stored, high, sign == 1)
