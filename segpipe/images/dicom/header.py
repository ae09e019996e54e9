"""A DICOM file's header: only the elements that decide pixels, parsed at a bounded cost.

Everything not in :data:`KEYWORDS` is skipped while parsing, so that names, dates and texts never become Python objects;
Patient ID is there to be hashed (:mod:`segpipe.preprocess.stage`). Broken or empty elements count as absent, and are
noted. What is echoed in notes and errors is matched against lists of defined terms.
"""

import logging
import math
import re
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
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
from segpipe.files.source import MAX_DECODED_BYTES

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

# numbers with a decimal comma, as Decimal Strings of some exporters have them: "0,2\\0,2"
DECIMAL_COMMA = re.compile(rb"\s*[+-]?\d+,\d+(\\[+-]?\d+,\d+)*\s*")
MOST_LUTS = 1000  # items of a LUT sequence, which has a few
ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian


class Header:
    """A parsed data set whose broken or empty elements count as absent, and are noted."""

    def __init__(self, dataset: Dataset, transfer_syntax: UID, notes: list[str]) -> None:
        self.dataset = dataset
        self.transfer_syntax = transfer_syntax
        self.notes = notes

    def get(self, keyword: str) -> Any:
        """The element's value, or None where it is absent, empty or unreadable (then noted)."""
        if keyword.endswith("LUTSequence"):
            self._check_items(keyword)
        try:
            value = self.dataset.get(keyword)
        except Exception:
            self.note(f"unreadable:{keyword}")
            return None
        return None if value is None or (hasattr(value, "__len__") and len(value) == 0) else value

    def _check_items(self, keyword: str) -> None:
        raw: Any = self.dataset.get_item(keyword)
        value = raw.value if isinstance(raw, RawDataElement) else None
        if isinstance(value, bytes) and max(map(value.count, ITEM_TAGS)) > MOST_LUTS:
            raise ImageError(f"has a {keyword} of more than {MOST_LUTS} items, which is damage; export it again")

    def numbers(self, keyword: str) -> list[float]:
        """The finite numbers of an element; one with anything else in it counts as absent.

        Empty values at the end are left out, and a decimal comma is read (and noted).
        """
        value = self._with_point(keyword) or self.get(keyword)
        if value is None:
            return []
        several = list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        while several and several[-1] == "":
            several.pop()
        try:
            numbers = [float(item) for item in several]
        except (TypeError, ValueError):
            numbers = [math.nan]
        if all(math.isfinite(number) for number in numbers):
            return numbers
        self.note(f"unreadable:{keyword}")
        return []

    def _with_point(self, keyword: str) -> list[str] | None:
        """The values of a Decimal String that was written with commas, or None (PS3.5 6.2 demands points)."""
        raw: Any = self.dataset.get_item(keyword)
        if not isinstance(raw, RawDataElement) or raw.VR not in (None, "DS"):
            return None
        text = raw.value or b""
        if not DECIMAL_COMMA.fullmatch(text):
            return None
        self.note(f"decimal_comma:{keyword}")
        return text.decode("ascii").replace(",", ".").strip().split("\\")

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
