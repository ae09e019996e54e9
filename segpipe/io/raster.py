"""PNG, JPEG, TIFF, BMP and GIF to samples, and to grey."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from segpipe.config import Raster as Policy
from segpipe.errors import ImageError
from segpipe.io import png as png_format
from segpipe.io.radiograph import Decisions, Radiograph, Target
from segpipe.io.source import Format, check_size

ORIENTATION_TAG, BITS_TAG, PHOTOMETRIC_TAG = 274, 258, 262
WHITE_IS_ZERO = 0

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


@dataclass(frozen=True)
class Raster:
    """A decoded raster before any choice about its colours.

    ``samples`` is uint8 or uint16, (rows, columns), or (rows, columns, 3) in R, G, B order. Grey of 1, 2
    or 4 bits is scaled to 0..255; 9 to 16 bits are kept as stored. With a ``palette`` ((256, 3) uint8)
    the samples are its indices. ``alpha``, (rows, columns), has the samples' dtype and full scale;
    it is None where every pixel is opaque.
    """

    samples: np.ndarray
    bits: int
    colour: str
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def maximum(self) -> int:
        """The largest value that grey can take."""
        return int(2**self.bits - 1) if self.samples.dtype == np.uint16 else 255


def read_raster(
    data: bytes,
    format_: Format,
    policy: Policy | None = None,
    invert: bool | None = None,
    target: Target | None = None,
) -> Radiograph:
    """Decode a raster to a grey :class:`Radiograph`; its spacing is unknown, for resolutions are for printers.

    Raises ImageError for damaged, animated, multi-page and floating-point files.
    """
    raster = decode_raster(data, format_)
    pixels, notes = to_grey(raster)
    if invert:
        pixels = (raster.maximum - pixels).astype(pixels.dtype)
    decisions = Decisions(
        format=format_,
        bits_stored=raster.bits,
        photometric_interpretation=raster.colour,
        inverted=bool(invert),
        invert_source="none" if invert is None else "sheet",
        notes=raster.notes + notes,
    )
    return Radiograph(np.ascontiguousarray(pixels), (0.0, float(raster.maximum)), None, decisions)


def decode_raster(data: bytes, format_: Format) -> Raster:
    """Decode to :class:`Raster`; raises ImageError, or whatever the decoder raises for damage."""
    return _decode_png(data) if format_ == "PNG" else _decode_with_pillow(data, format_)


def to_grey(raster: Raster) -> tuple[np.ndarray, tuple[str, ...]]:
    """Grey of the samples' dtype, (rows, columns), and what was done: Rec. 601 luma, then over black."""
    notes: list[str] = []
    grey = raster.samples
    if raster.palette is not None:
        if _is_coloured(raster.palette[np.unique(grey)]):
            notes.append("colour_to_grey")
        grey = _luma(raster.palette[None])[0][grey]
    elif grey.ndim == 3:
        coloured = _is_coloured(grey)
        grey = _luma(grey) if coloured else grey[..., 0]
        if coloured:
            notes.append("colour_to_grey")
    if raster.alpha is not None:
        grey = _over_black(grey, raster.alpha)
        notes.append("alpha_over_black")
    return grey, tuple(notes)


def _is_coloured(rgb: np.ndarray) -> bool:
    """Whether any pixel's three channels differ."""
    return bool((rgb[..., 0] != rgb[..., 1]).any() or (rgb[..., 1] != rgb[..., 2]).any())


def _luma(rgb: np.ndarray) -> np.ndarray:
    """Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B, of (rows, columns, 3) uint8 or uint16.

    Weights are in 1/65536 and sum to one, so greys stay exact and no version of a library changes a bit.
    """
    red, green, blue = (rgb[..., i].astype(np.uint32) for i in range(3))
    grey: np.ndarray = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(rgb.dtype)
    return grey


def _over_black(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composite over black, as a film viewer would: what is transparent is dark."""
    full = np.iinfo(alpha.dtype).max
    blended: np.ndarray = ((grey.astype(np.uint64) * alpha + full // 2) // full).astype(grey.dtype)
    return blended


def _meaningful(alpha: np.ndarray | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Drop an alpha that says nothing: opaque everywhere, or (a fault of some writers) nowhere."""
    if alpha is None or (alpha == np.iinfo(alpha.dtype).max).all():
        return None, ()
    return (alpha, ()) if alpha.any() else (None, ("alpha_ignored",))


def _decode_png(data: bytes) -> Raster:
    png = png_format.parse(data)
    colour = png_format.COLOUR_NAMES[png.colour]
    if png.colour == png_format.PALETTE:
        indices = png_format.decode_indices(png)
        palette, entry_alpha = png_format.palette(png)
        alpha, notes = _meaningful(None if entry_alpha is None else entry_alpha[indices])
        return Raster(indices, 8, colour, palette, alpha, notes)
    samples = png_format.decode_samples(png)
    alpha = samples[..., 3] if samples.ndim == 3 and samples.shape[2] == 4 else None
    if png.colour == png_format.GREY_ALPHA:
        samples = samples[..., 0]
    elif samples.ndim == 3:
        samples = samples[..., 2::-1]
    key = png_format.transparent_colour(png)
    if key is not None:
        clear = (samples.reshape(*samples.shape[:2], -1) == key).all(axis=2)
        alpha = np.where(clear, 0, np.iinfo(samples.dtype).max).astype(samples.dtype)
    alpha, notes = _meaningful(alpha)
    return Raster(samples, png.depth, colour, None, alpha, notes)


def _decode_with_pillow(data: bytes, format_: Format) -> Raster:
    try:
        image = Image.open(BytesIO(data), formats=(format_,))
    except Image.DecompressionBombError:
        raise ImageError("declares more pixels than are decoded; make it smaller first") from None
    except Exception:
        raise ImageError(
            f"is a {format_} whose header is damaged or of a kind that is not read; export it as PNG"
        ) from None
    with image:
        check_size(image.height, image.width)
        _refuse_more_pictures(image, format_)
        try:
            return _jpeg(image) if format_ == "JPEG" else _from_pillow(image, format_)
        except OSError:
            raise ImageError(f"is a {format_} whose pixels are damaged or cut off; copy or export it again") from None


def _refuse_more_pictures(image: Image.Image, format_: Format) -> None:
    if format_ == "JPEG":
        return  # further pictures in a JPEG are previews of the first
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return
    what = "an animated GIF" if format_ == "GIF" else f"a {format_} with several pages"
    raise ImageError(f"is {what}; export the one picture that is meant")


def _jpeg(image: Image.Image) -> Raster:
    """Decode a JPEG upright; of YCbCr the Y, which is Rec. 601 luma already (JFIF 1.02)."""
    colour, notes = image.mode, []
    orientation = _orientation(image)
    if image.mode == "RGB":
        image.draft("L", image.size)
    if colour != "L":
        notes.append("colour_to_grey")
    samples = np.asarray(image if image.mode == "L" else image.convert("L"))
    if orientation in UPRIGHT:
        samples = UPRIGHT[orientation](samples)
        notes.append(f"exif_orientation:{orientation}")
    return Raster(samples, 8, "grey" if colour == "L" else colour, notes=tuple(notes))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where EXIF is absent or damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _from_pillow(image: Image.Image, format_: Format) -> Raster:
    """TIFF, BMP and GIF. Pillow turns TIFFs upright itself."""
    mode, bits, white_is_zero = image.mode, 8, False
    notes: tuple[str, ...] = ()
    if format_ == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits = int(np.max(tags.get(BITS_TAG, 1)))
        white_is_zero = tags.get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO
        if tags.get(ORIENTATION_TAG, 1) in UPRIGHT:
            notes = (f"tiff_orientation:{tags[ORIENTATION_TAG]}",)
    if mode == "1":
        return Raster(np.asarray(image).astype(np.uint8) * 255, 1, "grey", notes=notes)
    if mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)
        # Pillow inverts WhiteIsZero up to 8 bits only
        samples = (2**bits - 1 - samples).astype(np.uint16) if white_is_zero else samples
        return Raster(samples, bits, "grey", notes=notes)
    if mode in ("F", "I"):
        raise ImageError(
            "is a TIFF of floating-point, signed or 32-bit values, whose black and white nobody declares; "
            "export it with 8 or 16 unsigned bits"
        )
    if mode == "P":
        return _palette_from_pillow(image, notes)
    if bits == 16:
        notes += ("reduced_to_8_bits",)  # Pillow reads colour with 8 bits only
    return _grey_or_colour_from_pillow(image, min(bits, 8), notes)


def _palette_from_pillow(image: Image.Image, notes: tuple[str, ...]) -> Raster:
    indices = np.asarray(image)
    palette = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB") or [], np.uint8)[:768].reshape(-1, 3)
    palette[: len(entries)] = entries
    clear = image.info.get("transparency")
    alpha = None if not isinstance(clear, int) else np.where(indices == clear, 0, 255).astype(np.uint8)
    alpha, more = _meaningful(alpha)
    return Raster(indices, 8, "palette", palette, alpha, notes + more)


def _grey_or_colour_from_pillow(image: Image.Image, bits: int, notes: tuple[str, ...]) -> Raster:
    if image.mode == "L":
        return Raster(np.asarray(image), bits, "grey", notes=notes)
    alpha = np.asarray(image)[..., -1] if image.mode in ("LA", "RGBA") else None
    alpha, more = _meaningful(alpha)
    if image.mode == "LA":
        return Raster(np.asarray(image)[..., 0], 8, "grey+alpha", None, alpha, notes + more)
    colour = image.mode
    rgb = np.asarray(image)[..., :3] if colour in ("RGB", "RGBA") else np.asarray(image.convert("RGB"))
    return Raster(rgb, 8, colour, None, alpha, notes + more)
