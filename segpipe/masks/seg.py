"""DICOM masks: segmentations (PS3.3 A.51 and A.101), and grey images whose values are labels."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.uid import UID, SegmentationStorage

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.dicom.accept import DicomImage, Words
from segpipe.images.dicom.header import Header, name_of, read_header
from segpipe.images.dicom.pixels import decode
from segpipe.masks.mask_file import Label, MaskFile, MaskImage, Plane

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
ELEMENTS = (
    "SegmentationType",
    "SegmentationFractionalType",
    "MaximumFractionalValue",
    "SegmentSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
MAX_SEGMENTS = 65_535  # C.8.20.2: numbers are US
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
CODESTREAMS = (
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
)
GREY = ("MONOCHROME2", "PALETTE COLOR")  # of a palette, the indices are the labels


class Frames:
    """Stored words without loss, one frame at a time: ``size`` (rows, columns), 1, 8 or 16 bits a pixel, unsigned."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.size = header.integer("Rows") or 0, header.integer("Columns") or 0
        self.count = header.integer("NumberOfFrames") or 1
        self.allocated = header.integer("BitsAllocated") or 0
        self._check()

    def read(self, index: int) -> np.ndarray:
        """One frame's words: (rows, columns) uint8 or uint16; ImageError where there are fewer."""
        if self.header.transfer_syntax in NATIVE:
            return self._native(index)
        stored = self.header.integer("BitsStored") or self.allocated
        layout = Words(self.allocated, stored, stored - 1, signed=False)
        image = DicomImage(*self.size, layout, modality="", photometric="", frames=self.count)
        return decode(self.header, image, index).words

    def _check(self) -> None:
        header, syntax = self.header, self.header.transfer_syntax
        if header.get("PixelData") is None:
            raise ImageError("has no pixel data: it is a header without a picture, or was cut off; copy it again")
        check_size(*self.size)
        if (header.integer("SamplesPerPixel") or 1) != 1 or header.term("PhotometricInterpretation") not in GREY:
            raise ImageError(
                "is a DICOM picture in colour or with inverted greys (MONOCHROME1), whose values are no labels; "
                "export it as PNG"
            )
        stored = header.integer("BitsStored") or self.allocated
        whole = header.integer("HighBit") in (None, stored - 1) and 1 <= stored <= self.allocated
        sizes = (1, 8, 16) if syntax in NATIVE else (8, 16)  # the codecs give bytes and words
        if self.allocated not in sizes or not whole or header.integer("PixelRepresentation") == 1:
            raise ImageError("is a DICOM mask whose values are not 1, 8 or 16 unsigned bits; export it as PNG")
        if syntax not in (*NATIVE, *CODESTREAMS, uid.RLELossless):
            raise ImageError(
                f"has the transfer syntax {name_of(syntax)}; masks are read uncompressed (little endian) or with "
                "lossless compression, for another changes labels near every edge"
            )

    def _native(self, index: int) -> np.ndarray:
        """Frames follow each other without gap, to the bit (PS3.5 8.1.1 and 8.2)."""
        data = self.header.dataset.PixelData
        pixels = self.size[0] * self.size[1]
        first, last = (number * pixels * self.allocated for number in (index, index + 1))
        if last > len(data) * 8:
            raise ImageError(
                f"has {len(data)} bytes of pixel data where frame {index + 1} needs {(last + 7) // 8}: "
                "the file is cut off; copy it again"
            )
        if self.allocated > 1:
            dtype = np.dtype(f"<u{self.allocated // 8}")
            words = np.frombuffer(data, dtype, count=pixels, offset=first // 8)
            return words.reshape(self.size).astype(dtype.newbyteorder("="), copy=False)
        packed = np.frombuffer(data, np.uint8, count=(last + 7) // 8 - first // 8, offset=first // 8)
        bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + pixels]
        return bits.reshape(self.size)


class SegMask(MaskFile):
    """Segments by number or by label; they may overlap.

    A Segment Label is free text, which may name the patient: it is compared and never shown. Messages show the
    number, and the meaning of the coded property type where that is a term of the standard.
    """

    names = (int, str)
    kind = "DICOM segmentation"

    def __init__(self, frames: Frames, segments: dict[int, Label], of_segment: dict[int, int], maximum: int) -> None:
        self.frames, self.segments, self.of_segment, self.maximum = frames, segments, of_segment, maximum

    def labels(self) -> list[Label]:
        return list(self.segments.values())

    def plane(self, wanted: Sequence[Label]) -> Plane:
        """The union of segments; one without a frame is empty (C.8.20.2). A fraction is set from one half on."""
        plane = np.zeros(self.frames.size, np.uint8)
        for number in sorted(value for label in wanted for value in label.names if isinstance(value, int)):
            if number in self.of_segment:
                words = self.frames.read(self.of_segment[number])
                plane |= words.astype(np.uint32) * 2 >= self.maximum
        return Plane(plane, ("mask_fractional",) if self.maximum > 1 else ())


def read_dicom_mask(data: bytes) -> MaskFile:
    """A segmentation of one image, or a single grey image without lossy compression, of any modality."""
    header = read_header(data, ELEMENTS)
    kind = header.term("SegmentationType")
    if header.sop_class not in (SegmentationStorage, LABEL_MAP_STORAGE):
        return _label_image(Frames(header), segments=None)
    segments = {label_number(label): label for label in map(_segment, _items(header.get("SegmentSequence")))}
    if len(segments) > MAX_SEGMENTS:
        raise ImageError(f"has {len(segments)} segments, more than their numbers can tell apart; export it again")
    frames = Frames(header)
    if kind == "LABELMAP" or header.sop_class == LABEL_MAP_STORAGE:
        if header.integer("PixelPaddingValue") not in (None, 0):
            raise ImageError("is a segmentation whose background is not 0; export it as PNG")
        return _label_image(frames, segments)
    if kind not in ("BINARY", "FRACTIONAL"):
        raise ImageError("is a segmentation that is neither BINARY, FRACTIONAL nor LABELMAP; export it again")
    maximum = header.integer("MaximumFractionalValue") or 0 if kind == "FRACTIONAL" else 1
    if not 1 <= maximum < 2**frames.allocated:
        raise ImageError("is a FRACTIONAL segmentation without a Maximum Fractional Value of its bits; export it again")
    shared = _items(header.get("SharedFunctionalGroupsSequence"))
    groups = _items(header.get("PerFrameFunctionalGroupsSequence"))
    return SegMask(frames, segments, _frame_of_segment(frames.count, groups, shared, segments), maximum)


def label_number(label: Label) -> int:
    """The number among a segment's names."""
    return next(name for name in label.names if isinstance(name, int))


class LabelMap(MaskImage):
    """An image of numbers that also have texts."""

    names = (int, str)
    kind = "DICOM segmentation"

    def __init__(self, numbers: np.ndarray, segments: dict[int, Label]) -> None:
        super().__init__(numbers, numbers, 0)
        self.segments = segments

    def labels(self) -> list[Label]:
        return [self.segments.get(label_number(label), label) for label in super().labels()]

    def plane_of_one_class(self, name: str) -> Plane:
        return MaskFile.plane_of_one_class(self, name)


def _label_image(frames: Frames, segments: dict[int, Label] | None) -> MaskImage:
    if frames.count != 1:
        raise ImageError(f"has {frames.count} frames; a radiograph's mask has one, so export it for one picture")
    numbers = frames.read(0)
    if segments is not None:
        return LabelMap(numbers, segments)
    # a maximum of 0: a radiograph that is given for a mask must not be cut at half its brightness
    return MaskImage(numbers, numbers, 0)


def _segment(item: Any) -> Label:
    number, label = item.get("SegmentNumber"), item.get("SegmentLabel")
    if not isinstance(number, int):
        raise ImageError("has a segment without a number; export the segmentation again")
    meaning = _meaning(item)
    names: set[int | str] = {number, label} if isinstance(label, str) and label else {number}
    return Label(frozenset(names), f"{number} ({meaning})" if meaning else str(number))


def _meaning(segment: Any) -> str:
    """What the coded property type means by the standard's dictionary, not by the file; or nothing."""
    from pydicom.sr._concepts_dict import concepts

    for code in _items(segment.get("SegmentedPropertyTypeCodeSequence"))[:1]:
        terms: dict[str, Any] = concepts.get(str(code.get("CodingSchemeDesignator")), {})
        value = str(code.get("CodeValue"))
        meanings = {term[value][0] for term in terms.values() if value in term}
        stated = str(code.get("CodeMeaning"))  # of synonyms the one that the file has
        return stated if stated in meanings else min(meanings, default="")
    return ""


def _frame_of_segment(count: int, groups: list[Any], shared: list[Any], segments: dict[int, Label]) -> dict[int, int]:
    """Segment number -> its frame, from 0 (C.8.20.3.1)."""
    if len(groups) != count:
        raise ImageError(f"has {count} frames, but describes {len(groups)}; export the segmentation again")
    numbers = [_referenced(group) or _referenced(shared[0] if shared else None) for group in groups]
    unknown = [number for number in numbers if number not in segments]
    if unknown:
        raise ImageError(f"has {len(unknown)} frames of no segment that it describes; export the segmentation again")
    often = max(Counter(numbers).values(), default=0)
    if often > 1:
        raise ImageError(
            f"has {often} frames for one segment, so it belongs to several pictures or to one with frames; "
            "export the segmentation of the one picture"
        )
    return {number: index for index, number in enumerate(numbers) if number is not None}


def _referenced(group: Any) -> int | None:
    for item in _items(group.get("SegmentIdentificationSequence") if group is not None else None)[:1]:
        number = item.get("ReferencedSegmentNumber")
        return number if isinstance(number, int) else None
    return None


def _items(value: Any) -> list[Any]:
    """The items of a sequence; none where the element is absent or something else."""
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else []
