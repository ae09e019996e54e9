"""Reading a DICOM header: only the elements that decide pixels, each of them possibly broken.

Everything not in :data:`KEYWORDS` is skipped while parsing, so that names, dates and texts never
become Python objects; Patient ID is there to be hashed (:mod:`segpipe.ingest`). What is echoed in notes
and errors is matched against lists of defined terms.
"""

import logging
import math
import re
import zlib
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from segpipe.errors import ImageError
from segpipe.io.source import MAX_PIXELS

KEYWORDS = [
    "SOPClassUID",
    "PatientID",
    "Modality",
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
    "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
]
NOT_STATED = "transfer_syntax_guessed"

# their messages may quote values; nothing of a header may reach a log (propagation would, too)
for _name in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "jpeg_ls"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class Header:
    """A parsed data set whose broken or empty elements count as absent, and are noted."""

    def __init__(self, dataset: Dataset, transfer_syntax: UID, notes: list[str]) -> None:
        self.dataset = dataset
        self.transfer_syntax = transfer_syntax
        self.notes = notes

    def get(self, keyword: str) -> Any:
        """The element's value, or None where it is absent, empty or unreadable (then noted)."""
        try:
            value = self.dataset.get(keyword)
        except Exception:
            self.note(f"unreadable:{keyword}")
            return None
        return None if value is None or (hasattr(value, "__len__") and len(value) == 0) else value

    def numbers(self, keyword: str) -> list[float]:
        """The finite numbers of an element; an element with anything else in it counts as absent."""
        value = self.get(keyword)
        if value is None:
            return []
        several = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        try:
            numbers = [float(item) for item in several]
        except (TypeError, ValueError):
            numbers = [math.nan]
        if all(math.isfinite(number) for number in numbers):
            return numbers
        self.note(f"unreadable:{keyword}")
        return []

    def number(self, keyword: str) -> float | None:
        """The first number of an element, or None."""
        return next(iter(self.numbers(keyword)), None)

    def integer(self, keyword: str) -> int | None:
        """The first number of an element as an integer, or None."""
        number = self.number(keyword)
        return None if number is None else int(number)

    def term(self, keyword: str) -> str:
        """The first value of an element of defined terms, in capitals; empty where absent."""
        value = self.get(keyword)
        if isinstance(value, (list, pydicom.multival.MultiValue)):
            value = value[0]
        return value.strip().upper() if isinstance(value, str) else ""

    @property
    def patient_id(self) -> str:
        """Patient ID (0010,0020), or "" where it is absent or blank."""
        value = self.get("PatientID")
        return value.strip() if isinstance(value, str) else ""

    def note(self, text: str) -> None:
        """Add a remark once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def sop_class(self) -> UID:
        """SOP Class UID of the data set or, failing that, of the file meta information."""
        value = self.get("SOPClassUID") or self.dataset.file_meta.get("MediaStorageSOPClassUID")
        return UID(str(value)) if value else UID("")


def name_of(uid: UID) -> str:
    """The registered name of a UID; never the UID's own text, which anyone may have chosen."""
    return uid.name if uid.name != uid else "unregistered"


def read_header(data: bytes) -> Header:
    """Parse from memory, with or without preamble and file meta information (PS3.10 7.1).

    Raises ImageError where the parser gives up.
    """
    notes: list[str] = []
    deflated = data[128:132] == b"DICM" and _is_deflated(data)
    if deflated:
        data = _inflate(data)
    try:
        dataset = pydicom.dcmread(BytesIO(data), force=True, specific_tags=[*KEYWORDS])
        stated = dataset.file_meta.get("TransferSyntaxUID")
    except Exception as error:
        raise ImageError(
            f"is a DICOM file whose header cannot be parsed ({type(error).__name__}); copy or export it again"
        ) from None
    if deflated:
        return Header(dataset, UID(DeflatedExplicitVRLittleEndian), notes)
    if not stated:
        notes.append(NOT_STATED)
    return Header(dataset, UID(str(stated)) if stated else _guessed_syntax(dataset), notes)


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
        plain = stream.decompress(data[144 + group_length :], 2 * MAX_PIXELS + 2**26)
    except zlib.error:
        raise ImageError("is a deflated DICOM file whose compressed data are damaged; copy it again") from None
    if not stream.eof:
        raise ImageError("is a deflated DICOM file that is cut off or far too large; copy it again")
    return plain
