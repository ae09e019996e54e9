"""Damage in JPEG data that its decoder passes over: it warns at most, and fills up what is missing with mid-grey.

A damaged Huffman code makes the decoder lose step, so that it reaches the end of the data before or after the end of
the picture. To see that, the picture is decoded as if it were some rows taller: of those, the decoder
makes the first from the last few bits and zeros, and all the others mid-grey, if it arrives in step.
"""

import numpy as np

from segpipe.errors import ImageError
from segpipe.io.dicom.codecs import Decoder
from segpipe.io.dicom.codestream import END_OF_IMAGE, Codestream

BLOCK = 8  # rows and columns of the cosine transform
SEQUENTIAL, LOSSLESS = (0, 1), 3  # n of SOFn, Huffman-coded
SETTLED = 8  # pixels after which the last byte's bits are used up, so that zeros are read
FILLER = b"\x55\xa3\x3c\x96" * 64  # any bits that are not all alike


def decode_jpeg(decode: Decoder, frame: bytes, codestream: Codestream) -> np.ndarray:
    """Decode and check; raises ImageError for data that are too short or too long for the picture.

    Progressive and arithmetic JPEG and JPEG with restart intervals, rare in DICOM, are decoded without this check.
    """
    rows, process = codestream.rows, codestream.process
    body = rows if process == LOSSLESS else -(-rows // BLOCK) * BLOCK
    extra = BLOCK if process in SEQUENTIAL else 2
    checked = process in (*SEQUENTIAL, LOSSLESS) and body + extra < 2**16 and not codestream.restarts
    if not checked:
        return decode(frame)
    taller = decode(_with_rows(frame, codestream, body + extra))
    if taller.shape != (body + extra, codestream.columns):
        return taller
    tail = taller[body:]
    middle = 1 << (codestream.bits - 1)
    if _goes_on(tail, middle, codestream):
        raise ImageError("has JPEG data that go on after the end of the picture: they are damaged; copy it again")
    if (tail[:, :BLOCK] == middle).all() and not _same_with_filler(decode, frame, taller[:rows]):
        raise ImageError("has JPEG data that end before the picture does: they are damaged; copy it again")
    return taller[:rows]


def _with_rows(frame: bytes, codestream: Codestream, rows: int) -> bytes:
    """The same codestream with another number of rows in its frame header."""
    at = codestream.rows_at
    return frame[:at] + rows.to_bytes(2, "big") + frame[at + 2 :]


def _goes_on(tail: np.ndarray, middle: int, codestream: Codestream) -> bool:
    """Whether there was still data for the rows that do not exist.

    Zeros read as lossless data are the same difference over and over, so with the left neighbour as predictor
    the row is a ramp.
    """
    if codestream.process != LOSSLESS:
        return bool((tail[:, 2 * BLOCK :] != middle).any())
    steps = np.diff(tail[0, SETTLED:])
    ramp = codestream.predictor != 1 or steps.size == 0 or bool((steps == steps[0]).all())
    return not ramp or bool((tail[1] != middle).any())


def _same_with_filler(decode: Decoder, frame: bytes, picture: np.ndarray) -> bool:
    """Whether the picture stays the same with more data behind its own, so that it did not need them."""
    end = frame.rindex(END_OF_IMAGE)
    return np.array_equal(decode(frame[:end] + FILLER + frame[end:]), picture)
