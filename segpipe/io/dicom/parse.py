"""Parsing a DICOM file's header: only the elements that decide pixels, at a bounded cost.

Everything not in :data:`KEYWORDS` is skipped while parsing, so that names, dates and texts never
become Python objects; Patient ID is there to be hashed (:mod:`segpipe.ingest`).
"""

import logging
import re
import zlib
from collections.abc import Sequence
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from segpipe.errors import ImageError
from segpipe.io.dicom.header import Header
from segpipe.io.source import MAX_DECODED_BYTES

KEYWORDS = [
    "SOPClassUID",
    "PatientID",
    "Modality",
    "PresentationIntentType",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "LUTDescriptor",
    "LUTData",
    "PresentationLUTShape",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "PixelAspectRatio",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "PixelData",
    "ExtendedOffsetTable",
    "FloatPixelData",
    "DoubleFloatPixelData",
]
TAGS = [Tag(keyword) for keyword in KEYWORDS]  # looking the words up takes longer than the rest of a small header
NOT_STATED = "transfer_syntax_guessed"

# What a header may cost. Those of radiographs have some hundred elements.
MOST_READS = 150_000  # an element takes two or three, an empty item two
MAX_INFLATED = 2**26  # bytes that a deflated file may hold whatever its size; beyond, a hundred times its size
MAX_INFLATION = 100

# pydicom's and its plugins' messages may quote values; nothing of a header may reach a log (propagation would, too)
for _name in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "jpeg_ls"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


def read_header(data: bytes, more: Sequence[str] = ()) -> Header:
    """Parse from memory, with or without preamble and file meta information (PS3.10 7.1).

    ``more`` are keywords of further elements that the caller needs.
    Raises ImageError where the parser gives up.
    """
    notes: list[str] = []
    if data[:4] == b"DICM":  # the prefix without its preamble
        data = bytes(128) + data
    deflated = data[128:132] == b"DICM" and _is_deflated(data)
    if deflated:
        data = _inflate(data)
    try:
        dataset = pydicom.dcmread(_Bounded(data), force=True, specific_tags=[*TAGS, *map(Tag, more)])
        stated = dataset.file_meta.get("TransferSyntaxUID")
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"is a DICOM file whose header cannot be parsed ({type(error).__name__}); copy or export it again"
        ) from None
    if deflated:
        return Header(dataset, UID(DeflatedExplicitVRLittleEndian), notes)
    if not stated:
        notes.append(NOT_STATED)
    return Header(dataset, UID(str(stated)) if stated else _guessed_syntax(dataset), notes)


class _Bounded(BytesIO):
    """Bytes that can be read a limited number of times: a few megabytes can hold a million empty items."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ImageError("has a header of some hundred thousand elements, which is damage; export it again")
        return super().read(size)


def _guessed_syntax(dataset: Dataset) -> UID:
    """The uncompressed transfer syntax that the parser found to fit."""
    implicit, little = dataset.original_encoding
    if implicit is not False:
        return UID(ImplicitVRLittleEndian)
    return UID(ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian)


def _is_deflated(data: bytes) -> bool:
    """Whether the file meta information names Deflated Explicit VR Little Endian."""
    uid = DeflatedExplicitVRLittleEndian.encode()
    return re.search(rb"\x02\0\x10\0UI.." + re.escape(uid) + rb"\0?", data[132:2048], re.DOTALL) is not None


def _inflate(data: bytes) -> bytes:
    """The data set of a deflated file (PS3.5 A.5), of limited size; it then parses like one without meta."""
    group_length = int.from_bytes(data[140:144], "little")
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        limit = min(max(MAX_INFLATED, MAX_INFLATION * len(data)), MAX_DECODED_BYTES + 2**20)
        plain = stream.decompress(data[144 + group_length :], limit)
    except zlib.error:
        raise ImageError("is a deflated DICOM file whose compressed data are damaged; copy it again") from None
    if not stream.eof:
        raise ImageError(
            "is a deflated DICOM file that is cut off, or that holds far more than a picture; copy it again"
        )
    return plain
