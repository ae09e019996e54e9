"""The frames of a DICOM mask: stored words without loss, one frame at a time."""

import numpy as np
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.io.dicom.accept import Picture
from segpipe.io.dicom.decode import decode
from segpipe.io.dicom.header import Header, name_of
from segpipe.io.dicom.words import Words
from segpipe.io.source import check_size

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
    """Frames of ``size`` (rows, columns), 1, 8 or 16 bits a pixel, unsigned."""

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
        picture = Picture(*self.size, layout, modality="", photometric="", frames=self.count)
        return decode(self.header, picture, index).words

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
