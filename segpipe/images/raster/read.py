"""PNG, JPEG, TIFF, BMP and GIF as radiographs; the last two are small enough to be read here, by Pillow."""

from io import BytesIO

import numpy as np
from PIL import Image

from segpipe.config import Raster
from segpipe.errors import ImageError
from segpipe.files.source import Format, check_size
from segpipe.images.raster.grey import RasterImage, meaningful, to_grey
from segpipe.images.raster.jpeg import decode_jpeg
from segpipe.images.raster.png import decode_png
from segpipe.images.raster.tiff import decode_tiff
from segpipe.images.types import Decisions, Radiograph, Target


def read_raster(
    data: bytes,
    format_: Format,
    policy: Raster,
    invert: bool | None = None,
    target: Target | None = None,
) -> Radiograph:
    """Decode a raster to a grey :class:`Radiograph`; its spacing is unknown, for resolutions are for printers.

    Raises ImageError for damaged, animated and floating-point files, and for several pages where
    ``policy.page`` chooses none. ``target`` matters to JPEGs only, where ``policy.jpeg_resolution`` is auto.
    """
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


def decode_raster(data: bytes, format_: Format, page: int | None = None, target: Target | None = None) -> RasterImage:
    """Decode to :class:`RasterImage`; raises ImageError, or whatever the decoder raises for damage."""
    if format_ == "PNG":
        return decode_png(data)
    if format_ == "JPEG":
        return decode_jpeg(data, target)
    if format_ == "TIFF":
        return decode_tiff(data, page)
    return decode_with_pillow(data, format_)


def decode_with_pillow(data: bytes, format_: Format) -> RasterImage:
    """Decode a BMP or a GIF of one picture; raises ImageError."""
    try:
        image = Image.open(BytesIO(data), formats=(format_,))
    except Image.DecompressionBombError:
        raise ImageError("declares more pixels than are decoded; make it smaller first") from None
    except Exception:
        raise ImageError(
            f"is a {format_} whose header is damaged or of a kind that is not read; export it as PNG"
        ) from None
    with image:
        check_size(image.height, image.width, 1 + len(image.getbands()))  # Pillow's pixels, and the grey
        try:
            if format_ == "GIF":
                _refuse_animation(image)
            return _from_pillow(image)
        except (OSError, ValueError, EOFError, SyntaxError):
            raise ImageError(f"is a {format_} whose pixels are damaged or cut off; copy or export it again") from None


def _refuse_animation(image: Image.Image) -> None:
    """Frames of a GIF are changes of the one before, not pages, so none can be chosen."""
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return
    raise ImageError("is an animated GIF; export the one picture that is meant")


def _from_pillow(image: Image.Image) -> RasterImage:
    if image.mode == "1":
        return RasterImage(np.asarray(image).astype(np.uint8) * 255, 1, "grey")
    if image.mode == "L":
        return RasterImage(np.asarray(image), 8, "grey")
    if image.mode == "P":
        return _with_palette(image)
    pixels = np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))
    alpha, notes = meaningful(pixels[..., 3] if image.mode == "RGBA" else None)
    return RasterImage(pixels[..., :3], 8, image.mode, None, alpha, notes)


def _with_palette(image: Image.Image) -> RasterImage:
    indices = np.asarray(image)
    palette = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB") or [], np.uint8)[:768].reshape(-1, 3)
    palette[: len(entries)] = entries
    clear = image.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = np.where(indices == clear, np.uint8(0), np.uint8(255))
    alpha, notes = meaningful(alpha)
    return RasterImage(indices, 8, "palette", palette, alpha, notes)
