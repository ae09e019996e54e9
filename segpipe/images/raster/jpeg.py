"""JPEG files to grey samples, upright, at full size or at a fraction of it."""

from collections.abc import Callable

import numpy as np
import simplejpeg
from PIL import Image

from segpipe.errors import ImageError
from segpipe.files.source import check_size
from segpipe.images.jpeg import PROGRESSIVE, JpegHeader, check_scans, decode_grey, is_strict, read_jpeg_header
from segpipe.images.raster.grey import RasterImage
from segpipe.images.types import Target

NOT_READ = {0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}  # SOFn
ORIENTATION_TAG = 274
CUT_OFF = "is a JPEG that ends too early, as an interrupted copy does; copy it again"
DAMAGED = "is a JPEG whose structure is damaged; copy or export it again"

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


def decode_jpeg(data: bytes, target: Target | None = None) -> RasterImage:
    """Decode a JPEG upright; of YCbCr the Y, which is Rec. 601 luma already (JFIF 1.02).

    ``target`` allows a fraction of the size. What follows the picture, a preview say, is not read. Raises ImageError
    for damage that the decoder sees, and for printing colours. A changed bit inside the compressed data is mostly
    a valid picture, so it cannot be seen.
    """
    header = read_jpeg_header(data)
    if header is None:
        raise ImageError(DAMAGED if b"\xff\xd9" in data else CUT_OFF)
    colour = _check(data, header)
    orientation = _orientation(header.exif)
    shape = (header.rows, header.columns)
    shape = shape[::-1] if orientation in SIDEWAYS else shape
    fraction = fraction_for(shape, target(shape)) if target and is_strict(data, header) else 1
    samples = _decode(data, header, fraction)
    notes = [] if colour == "grey" else ["colour_to_grey"]
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"exif_orientation:{orientation}")
    return RasterImage(samples, header.bits, colour, notes=tuple(notes), decoded_at=fraction, shape=shape)


def fraction_for(shape: tuple[int, int], target: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 by which a picture of ``shape`` can be divided without falling below ``target``.

    Only divisors of both sides are taken: a decoder rounds a size up, and the picture would cover more than it says.
    """
    for fraction in (8, 4, 2):
        if all(full % fraction == 0 and full // fraction >= least for full, least in zip(shape, target, strict=True)):
            return fraction
    return 1


def _check(data: bytes, header: JpegHeader) -> str:
    """Refuse what is not read, before anything is decoded; return the colour: grey, YCbCr or RGB."""
    if header.frame in NOT_READ:
        raise ImageError("is a JPEG of a hierarchical or arithmetic lossless kind, which is not read; export it as PNG")
    # a progressive picture's coefficients are held whole, two bytes each
    deep = header.bits > 8 or header.frame in PROGRESSIVE
    check_size(header.rows, header.columns, header.components * (2 if deep else 1))
    if header.end < 0:
        raise ImageError(CUT_OFF)
    if reason := check_scans(data, header):
        raise ImageError(f"is a JPEG of {reason}; export it again")
    if header.components not in (1, 3):
        raise ImageError(
            f"is a JPEG of {header.components} colour channels, as made for printing; "
            "export it as grey with one channel"
        )
    return "grey" if header.components == 1 else _colour(data)


def _colour(data: bytes) -> str:
    """YCbCr or RGB, as libjpeg tells them apart: by JFIF, then the Adobe marker, then the components' names."""
    try:
        return str(simplejpeg.decode_jpeg_header(data, strict=False)[2])
    except ValueError:  # subsampled in an unusual way, which RGB never is
        return "YCbCr"


def _decode(data: bytes, header: JpegHeader, fraction: int) -> np.ndarray:
    try:
        samples = decode_grey(data, header, fraction)
    except Exception:  # each decoder has its own
        raise ImageError("is a JPEG whose compressed pixels are damaged; copy or export it again") from None
    if samples.shape != (header.rows // fraction, header.columns // fraction):
        raise ImageError("is a JPEG that does not decode to the size it declares; copy or export it again")
    return samples


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1..8; 1 where EXIF is absent or damaged."""
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        return int(tags.get(ORIENTATION_TAG, 1))
    except Exception:
        return 1
