"""The values of one mask file, before they are given to classes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.errors import ImageError
from segpipe.io.raster import Raster, decode_raster, to_grey
from segpipe.io.source import quiet, read_bytes, sniff


@dataclass(frozen=True)
class MaskValues:
    """A mask as labels and as grey; both are (rows, columns), uint8 or uint16.

    ``labels`` are raw: palette indices, and 0..3 for a grey of 2 bits. ``grey`` is what a viewer shows, or
    the indices again where a palette has colours. ``maximum`` is the largest value that grey can take.
    """

    labels: np.ndarray
    grey: np.ndarray
    maximum: int


def read_mask(path: Path) -> MaskValues:
    """Read a PNG, TIFF, BMP, GIF or NIfTI mask; raises ImageError without the file's name."""
    data = read_bytes(path)
    with quiet():
        try:
            return _decode(data)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"cannot be decoded ({type(error).__name__}); the file is damaged") from None


def _decode(data: bytes) -> MaskValues:
    format_ = sniff(data)
    if format_ == "JPEG":
        raise ImageError("is a JPEG, whose compression changes labels near every edge; export the mask as PNG")
    if format_ == "DICOM":
        raise ImageError("is a DICOM file; export the mask as PNG or NIfTI")
    if format_ == "NIfTI":
        return _from_nifti(data)
    raster = decode_raster(data, format_)
    if raster.palette is not None:
        return _from_palette(raster)
    if raster.samples.ndim == 3 and (raster.samples != raster.samples[..., :1]).any():
        raise ImageError("is a colour picture, and colours are not labels; export it as grey or with a palette")
    grey, _ = to_grey(raster)
    labels = raster.samples[..., 0] if raster.samples.ndim == 3 else raster.samples
    if raster.bits < 8:
        labels = labels // (255 // (2**raster.bits - 1))
    if raster.alpha is not None:
        labels = np.where(raster.alpha > 0, labels, 0).astype(labels.dtype)
    return MaskValues(labels, grey, raster.maximum)


def _from_palette(raster: Raster) -> MaskValues:
    """Indices are the labels; a palette of greys, which may be inverted, is looked through for the grey."""
    assert raster.palette is not None
    used = raster.palette[np.unique(raster.samples)]
    if (used == used[:, :1]).all():
        return MaskValues(raster.samples, to_grey(raster)[0], 255)
    return MaskValues(raster.samples, raster.samples, 0)


def _from_nifti(data: bytes) -> MaskValues:
    from segpipe.io.nifti import load

    values, _ = load(data)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535 or (values != np.rint(values)).any():
        raise ImageError("is a NIfTI with values that are no labels (negative, fractions, or above 65535)")
    dtype = np.uint8 if values.max() <= 255 else np.uint16
    labels = np.ascontiguousarray(values.astype(dtype))
    # only a file of bytes can be told to mean 255 by white
    return MaskValues(labels, labels, 255 if values.dtype == np.uint8 else 0)
