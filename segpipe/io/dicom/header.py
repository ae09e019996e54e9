"""A parsed DICOM header whose broken or empty elements count as absent, and are noted.

What is echoed in notes and errors is matched against lists of defined terms.
"""

import math
import re
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from segpipe.errors import ImageError

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
