"""JPEG to grey samples, upright, at full size or at a fraction of it."""

from collections.abc import Callable
from io import BytesIO

import imagecodecs
import numpy as np

from segpipe.errors import ImageError
from segpipe.io.radiograph import Target
from segpipe.io.raster.grey import Raster
from segpipe.io.raster.jpeg_markers import Jpeg, parse

ORIENTATION_TAG = 274
FILLER = b"\x55\xa3\x3c\x96" * 64  # compressed data of any kind

# EXIF orientation -> what brings row 0 to the top and column 0 to the left (Exif 2.32, 4.6.4 A)
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}
SIDEWAYS = (5, 6, 7, 8)  # these swap rows and columns


def decode_jpeg(data: bytes, target: Target | None = None) -> Raster:
    """Decode a JPEG upright; of YCbCr the Y, which is Rec. 601 luma already (JFIF 1.02).

    ``target`` allows a fraction of the size. Raises ImageError for damage that markers or decoder show, and for
    printing colours. A changed bit inside the compressed data is mostly a valid picture, so it cannot be seen.
    """
    jpeg = parse(data)
    orientation = _orientation(jpeg.exif)
    shape = (jpeg.rows, jpeg.columns)
    shape = shape[::-1] if orientation in SIDEWAYS else shape
    fraction = 1 if target is None or jpeg.bits != 8 or jpeg.kind == "lossless" else fraction_for(shape, target(shape))
    samples = _decode(data, jpeg, fraction)
    notes = [] if jpeg.colour == "grey" else ["colour_to_grey"]
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"exif_orientation:{orientation}")
    return Raster(samples, jpeg.bits, jpeg.colour, notes=tuple(notes), decoded_at=fraction, shape=shape)


def fraction_for(shape: tuple[int, int], target: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 by which a picture of ``shape`` can be divided without falling below ``target``.

    Only divisors of both sides are taken: a decoder rounds a size up, and the picture would cover more than it says.
    """
    for fraction in (8, 4, 2):
        if all(full % fraction == 0 and full // fraction >= least for full, least in zip(shape, target, strict=True)):
            return fraction
    return 1


def _decode(data: bytes, jpeg: Jpeg, fraction: int) -> np.ndarray:
    """Grey samples of shape (rows / fraction, columns / fraction), uint8, or uint16 of more than 8 bits.

    Scaled samples lie at the centres of the squares that they stand for, so that nothing is shifted.
    """
    try:
        samples = _decode_whole(data, jpeg) if fraction == 1 else _decode_scaled(data, jpeg, fraction)
    except (imagecodecs.Jpeg8Error, ValueError, OSError):
        raise ImageError("is a JPEG whose compressed pixels are damaged; copy or export it again") from None
    if samples.shape != (jpeg.rows // fraction, jpeg.columns // fraction) or (samples.dtype == np.uint8) != (
        jpeg.bits <= 8
    ):
        raise ImageError("is a JPEG that does not decode to the size it declares; copy or export it again")
    return samples


def _decode_whole(data: bytes, jpeg: Jpeg) -> np.ndarray:
    """Decode at full size; raises ImageError where the data end before the picture does, although marked as ended.

    libjpeg paints what is missing mid-grey. Decoded with a unit of rows more than there are, a whole picture leaves a
    few bits for the first pixels of these; where they are mid-grey too, the picture must not change with more data.
    """
    body = -(-jpeg.rows // max(1, jpeg.block_rows)) * jpeg.block_rows
    taller = body + jpeg.block_rows
    if not jpeg.block_rows or taller >= 2**16:
        return _grey(data)
    at, middle = jpeg.rows_at, 1 << (jpeg.bits - 1)
    samples = _grey(data[:at] + taller.to_bytes(2, "big") + data[at + 2 :])
    picture = samples[: jpeg.rows]
    if len(samples) == taller and (samples[body:, :8] == middle).all():
        longer = _grey(data[: jpeg.end] + FILLER + data[jpeg.end :])
        if not np.array_equal(longer, picture):
            raise ImageError("is a JPEG whose data end before the picture does; copy or export it again")
    return picture


def _grey(data: bytes) -> np.ndarray:
    return np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE"))


def _decode_scaled(data: bytes, jpeg: Jpeg, fraction: int) -> np.ndarray:
    """By Pillow, the one decoder here that scales and reports damage."""
    from PIL import Image

    with Image.open(BytesIO(data), formats=("JPEG",)) as image:
        image.draft("L", (jpeg.columns // fraction, jpeg.rows // fraction))
        return np.asarray(image)


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1..8; 1 where EXIF is absent or damaged."""
    if not exif:
        return 1
    from PIL import Image

    tags = Image.Exif()
    try:
        tags.load(exif)
        return int(tags.get(ORIENTATION_TAG, 1))
    except Exception:
        return 1
