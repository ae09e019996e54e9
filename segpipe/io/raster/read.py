"""PNG, JPEG, TIFF, BMP and GIF as radiographs."""

import numpy as np

from segpipe.config import Raster as Policy
from segpipe.io.radiograph import Decisions, Radiograph, Target
from segpipe.io.raster.grey import Raster, to_grey
from segpipe.io.source import Format

__all__ = ["Raster", "decode_raster", "read_raster", "to_grey"]


def read_raster(
    data: bytes,
    format_: Format,
    policy: Policy | None = None,
    invert: bool | None = None,
    target: Target | None = None,
) -> Radiograph:
    """Decode a raster to a grey :class:`Radiograph`; its spacing is unknown, for resolutions are for printers.

    Raises ImageError for damaged, animated and floating-point files, and for several pages where
    ``policy.page`` chooses none. ``target`` matters to JPEGs only, where ``policy.jpeg_resolution`` is auto.
    """
    policy = policy or Policy()
    raster = decode_raster(data, format_, policy.page, target if policy.jpeg_resolution == "auto" else None)
    pixels, notes = to_grey(raster)
    pixels = np.ascontiguousarray(pixels)
    if invert:
        pixels = np.subtract(pixels.dtype.type(raster.maximum), pixels, out=pixels if pixels.flags.writeable else None)
    decisions = Decisions(
        format=format_,
        bits_stored=raster.bits,
        photometric_interpretation=raster.colour,
        frame=raster.page,
        decoded_at=raster.decoded_at,
        inverted=bool(invert),
        invert_source="none" if invert is None else "sheet",
        notes=raster.notes + notes,
    )
    return Radiograph(pixels, (0.0, float(raster.maximum)), None, decisions, raster.shape)


def decode_raster(data: bytes, format_: Format, page: int | None = None, target: Target | None = None) -> Raster:
    """Decode to :class:`Raster`; raises ImageError, or whatever the decoder raises for damage."""
    if format_ == "PNG":
        from segpipe.io.raster.png import decode_png

        return decode_png(data)
    if format_ == "JPEG":
        from segpipe.io.raster.jpeg import decode_jpeg

        return decode_jpeg(data, target)
    if format_ == "TIFF":
        from segpipe.io.raster.tiff import decode_tiff

        return decode_tiff(data, page)
    from segpipe.io.raster.gif_bmp import decode_with_pillow

    return decode_with_pillow(data, format_)
