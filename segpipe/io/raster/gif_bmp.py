"""BMP and GIF to samples, by Pillow."""

from io import BytesIO

import numpy as np
from PIL import Image

from segpipe.errors import ImageError
from segpipe.io.raster.grey import Raster, meaningful
from segpipe.io.source import Format, check_size


def decode_with_pillow(data: bytes, format_: Format) -> Raster:
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


def _from_pillow(image: Image.Image) -> Raster:
    if image.mode == "1":
        return Raster(np.asarray(image).astype(np.uint8) * 255, 1, "grey")
    if image.mode == "L":
        return Raster(np.asarray(image), 8, "grey")
    if image.mode == "P":
        return _with_palette(image)
    pixels = np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))
    alpha, notes = meaningful(pixels[..., 3] if image.mode == "RGBA" else None)
    return Raster(pixels[..., :3], 8, image.mode, None, alpha, notes)


def _with_palette(image: Image.Image) -> Raster:
    indices = np.asarray(image)
    palette = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB") or [], np.uint8)[:768].reshape(-1, 3)
    palette[: len(entries)] = entries
    clear = image.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = np.where(indices == clear, np.uint8(0), np.uint8(255))
    alpha, notes = meaningful(alpha)
    return Raster(indices, 8, "palette", palette, alpha, notes)
