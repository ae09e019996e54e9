"""JPEG 2000 at a half, a quarter or an eighth of its size, without decoding the rest.

A wavelet's low band holds a sample for every second row and column, at the place of the even ones, and not
between two of them as an average of 2 x 2 pixels would. So the picture that comes out lies up and left by
(2 ** levels - 1) / 2 pixels of the full one; it is put back here.
"""

from io import BytesIO

import numpy as np

from segpipe.io.dicom.codestream import Codestream
from segpipe.io.dicom.words import Words

MAX_LEVELS = 3


def usable_levels(codestream: Codestream, words: Words, target: tuple[int, int]) -> int:
    """How many resolutions can be left out, 0 to 3, so that neither side gets shorter than ``target``.

    0 where a lower resolution is not sure to be right: other bits or sign than the header's (interpolation
    would mix what wraps around), or a picture that does not start at 0, 0.
    """
    agrees = codestream.bits == words.stored and codestream.signed == words.signed
    if codestream.family != "JPEG 2000" or not agrees or not codestream.origin:
        return 0
    levels = 0
    while levels < min(codestream.levels, MAX_LEVELS) and _fits(codestream, levels + 1, target):
        levels += 1
    return levels


def decode_reduced(frame: bytes, codestream: Codestream, levels: int) -> np.ndarray | None:
    """The values at 1 / 2 ** levels of the size, rounded up; None where the decoder does not give them.

    The pixels cover the full picture's area, uint16 or int16.
    """
    from PIL import Image

    rows, columns = reduced_size(codestream, levels)
    try:
        with Image.open(BytesIO(frame), formats=["JPEG2000"]) as image:
            image.reduce = levels  # type: ignore[assignment, method-assign]
            # Pillow divides and rounds to the nearest, where the codestream has the next larger size
            image._size = (columns << levels, rows << levels)
            values = np.asarray(image)
    except Exception:
        return None
    if values.shape != (rows, columns) or values.dtype.itemsize not in (1, 2):
        return None
    # Pillow shifts to 8 or 16 bits and moves signed values up to start at 0
    shift = 8 * values.dtype.itemsize - codestream.bits
    placed = _put_back(values >> shift if shift >= 0 else values, codestream, levels)
    return placed.astype(np.int16) - np.int16(1 << (codestream.bits - 1)) if codestream.signed else placed


def reduced_size(codestream: Codestream, levels: int) -> tuple[int, int]:
    """Rows and columns after leaving out ``levels`` resolutions (15444-1 B.5)."""
    return -(-codestream.rows // 2**levels), -(-codestream.columns // 2**levels)


def _fits(codestream: Codestream, levels: int, target: tuple[int, int]) -> bool:
    rows, columns = reduced_size(codestream, levels)
    return rows >= target[0] and columns >= target[1]


def _put_back(values: np.ndarray, codestream: Codestream, levels: int) -> np.ndarray:
    """Interpolate at the centres of the pixels that the picture will be taken to have.

    Sample k lies at ``k * 2 ** levels`` of the full picture; pixel k, one of n over a side of N pixels, has its centre
    at ``(k + 0.5) * N / n - 0.5``. As the size is rounded up, N / n may be a little less than ``2 ** levels``.
    """
    import cv2

    step = 2**levels
    rows, columns = values.shape
    down, right = codestream.rows / rows, codestream.columns / columns
    to_sample = np.array(
        [[right / step, 0, (right / 2 - 0.5) / step], [0, down / step, (down / 2 - 0.5) / step]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed = cv2.warpAffine(values, to_sample, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed, values.dtype)
