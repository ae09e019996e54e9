import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segpipe.errors import ImageError
from segpipe.images.raster import grey as raster_grey
from segpipe.images.read import read_radiograph
from tests.unit.images import reference_png
from tests.unit.images.pictures import COLUMNS, ROWS, asymmetric, encoded

GREY = asymmetric().astype(np.uint8)
GREY16 = asymmetric(65535).astype(np.uint16)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_eight_bit_grey_comes_out_as_it_went_in(format_: str) -> None:
    radiograph = read_radiograph(encoded(GREY, format_))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.pixels.dtype == np.uint8
    assert (radiograph.value_range, radiograph.display_range) == ((0, 255), None)
    assert (radiograph.decisions.format, radiograph.decisions.spacing_source) == (format_, "unknown")
    assert radiograph.decisions.notes == ()


@pytest.mark.parametrize(
    "options", [{"format_": "PNG"}, {"format_": "TIFF"}, {"format_": "TIFF", "compression": "tiff_lzw"}]
)
def test_sixteen_bits_are_kept(options: dict[str, str]) -> None:
    radiograph = read_radiograph(encoded(GREY16, **options))
    np.testing.assert_array_equal(radiograph.pixels, GREY16)
    assert (radiograph.pixels.dtype, radiograph.value_range) == (np.uint16, (0, 65535))
    assert radiograph.decisions.bits_stored == 16


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_black_and_white_spans_the_full_range(format_: str) -> None:
    radiograph = read_radiograph(encoded(GREY > 100, format_))
    np.testing.assert_array_equal(radiograph.pixels, np.where(GREY > 100, 255, 0))


def test_an_inverted_palette_is_looked_through() -> None:
    image = Image.fromarray(255 - GREY).convert("L")
    image.putpalette([255 - i // 3 for i in range(768)])
    buffer = BytesIO()
    image.save(buffer, "PNG")
    radiograph = read_radiograph(buffer.getvalue())
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.decisions.photometric_interpretation == "palette"
    assert radiograph.decisions.notes == ()


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP"])
def test_colour_becomes_luma_and_is_noted_but_grey_in_colour_is_exact(format_: str) -> None:
    colour = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
    radiograph = read_radiograph(encoded(colour, format_))
    assert np.abs(radiograph.pixels - colour @ [0.299, 0.587, 0.114]).max() <= 1
    assert radiograph.decisions.notes == ("colour_to_grey",)
    plain = read_radiograph(encoded(np.stack([GREY] * 3, axis=2), format_))
    np.testing.assert_array_equal(plain.pixels, GREY)
    assert plain.decisions.notes == ()


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_transparency_is_black_unless_it_means_nothing(format_: str) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[5:9] = 0
    for layers in ([GREY], [GREY] * 3):
        radiograph = read_radiograph(encoded(np.stack([*layers, alpha], axis=2), format_))
        np.testing.assert_array_equal(radiograph.pixels, np.where(alpha, GREY, 0))
        assert radiograph.decisions.notes == ("alpha_over_black",)
        for value, notes in ((255, ()), (0, ("alpha_ignored",))):
            uniform = np.full_like(GREY, value)
            radiograph = read_radiograph(encoded(np.stack([*layers, uniform], axis=2), format_))
            np.testing.assert_array_equal(radiograph.pixels, GREY)
            assert radiograph.decisions.notes == notes


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_pictures_are_turned_upright(orientation: int, format_: str) -> None:
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: a[::-1, ::-1], 4: np.flipud, 5: np.transpose}
    undo |= {6: np.rot90, 7: lambda a: a[::-1, ::-1].T, 8: lambda a: np.rot90(a, -1)}
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif} | ({"quality": 99} if format_ == "JPEG" else {})
    radiograph = read_radiograph(encoded(np.ascontiguousarray(undo[orientation](GREY)), format_, **options))
    assert radiograph.pixels.shape == GREY.shape
    assert np.abs(radiograph.pixels.astype(int) - GREY).mean() < 2
    assert len(radiograph.decisions.notes) == (orientation > 1)


def test_colour_jpegs_give_their_luma() -> None:
    radiograph = read_radiograph(encoded(np.stack([GREY] * 3, axis=2), "JPEG", quality=99))
    assert np.abs(radiograph.pixels.astype(int) - GREY).mean() < 2
    assert radiograph.decisions.notes == ("colour_to_grey",)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_invert_mirrors_the_range(format_: str) -> None:
    data = encoded(GREY, format_)
    plain, inverted = read_radiograph(data), read_radiograph(data, invert=True)
    np.testing.assert_array_equal(inverted.pixels, 255 - plain.pixels)
    assert (inverted.decisions.inverted, inverted.decisions.invert_source) == (True, "sheet")
    assert read_radiograph(data, invert=False).decisions.invert_source == "sheet"


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "PNG"])
def test_several_pictures_in_one_file_are_refused(format_: str) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    data = encoded(GREY, format_, save_all=True, append_images=pages)
    with pytest.raises(ImageError, match=r"animated|several pages"):
        read_radiograph(data)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_tiffs_without_a_declared_black_and_white_are_refused(dtype: type) -> None:
    with pytest.raises(ImageError, match="floating-point, signed or 32-bit"):
        read_radiograph(encoded(GREY.astype(dtype), "TIFF"))


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_truncated_files_are_errors(format_: str) -> None:
    data = encoded(GREY, format_)
    for end in range(1, len(data) - 8, max(1, len(data) // 50)):
        try:
            radiograph = read_radiograph(data[:end])
        except ImageError:
            continue
        np.testing.assert_array_equal(radiograph.pixels, read_radiograph(data).pixels)  # the pixels were whole


def test_every_changed_byte_of_a_png_is_an_error_or_harmless() -> None:
    data = encoded(GREY, "PNG")
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(ImageError):
            read_radiograph(changed)


@pytest.mark.parametrize("palette", [False, True])
def test_a_png_whose_compressed_stream_is_damaged_is_an_error_in_spite_of_right_checksums(palette: bool) -> None:
    start = [chunk(b"PLTE", bytes(np.arange(256).repeat(3).tolist()))] if palette else []
    whole = zlib.compress(scanlines(GREY))

    def read(pixels: bytes) -> np.ndarray:
        return read_radiograph(png(bytes([8, 3 if palette else 0, 0]), *start, chunk(b"IDAT", pixels))).pixels

    np.testing.assert_array_equal(read(whole), GREY)
    wrong_sum = whole[:-1] + bytes([whole[-1] ^ 1])
    for pixels in (whole[:-200], zlib.compress(scanlines(GREY)[:-9]), wrong_sum, whole[:99] + bytes(len(whole) - 99)):
        with pytest.raises(ImageError, match="compressed pixels are damaged or cut off"):
            read(pixels)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_every_depth_give_the_colours_of_their_indices(depth: int) -> None:
    indices = asymmetric(2**depth - 1).astype(np.uint8)
    image = Image.fromarray(indices).convert("P")
    greys = np.random.default_rng(depth).permutation(256)[: 2**depth].astype(np.uint8)
    image.putpalette(greys.repeat(3).tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG", bits=depth)
    np.testing.assert_array_equal(read_radiograph(buffer.getvalue()).pixels, greys[indices])


def test_enormous_declared_sizes_are_refused_before_decoding() -> None:
    header = chunk(b"IHDR", (100_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="100000 x 100000 pixels, more than"):
        read_radiograph(data)


def test_the_whole_png_suite_decodes_to_the_greys_of_the_specification(shared: Path) -> None:
    files = sorted((shared / "hostile" / "png").glob("*.png"))
    for file in files:
        data = file.read_bytes()
        if file.name.startswith("x"):
            with pytest.raises(ImageError):
                read_radiograph(data)
            continue
        radiograph = read_radiograph(data)
        expected = reference_png.grey(data)
        assert radiograph.pixels.dtype == (np.uint16 if radiograph.value_range[1] == 65535 else np.uint8)
        assert np.abs(radiograph.pixels - expected).max() <= 1, file.name
    assert len(files) == 176
    assert sum(file.name.startswith("x") for file in files) == 14


def png(header: bytes, *chunks: bytes) -> bytes:
    """A PNG of 37 rows and 53 columns; ``header`` is depth, colour type and interlacing."""
    depth, colour, interlaced = header
    size = COLUMNS.to_bytes(4, "big") + ROWS.to_bytes(4, "big")
    start = chunk(b"IHDR", size + bytes([depth, colour, 0, 0, interlaced]))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(chunks) + chunk(b"IEND", b"")


def scanlines(picture: np.ndarray) -> bytes:
    return b"".join(b"\0" + line.tobytes() for line in picture)


PIXELS = chunk(b"IDAT", zlib.compress(scanlines(GREY)))
GREY8 = bytes([8, 0, 0])


def test_what_decides_no_pixels_changes_none() -> None:
    text = chunk(b"tEXt", b"Comment\0PHICANARY")
    gamma, resolution = chunk(b"gAMA", (99999).to_bytes(4, "big")), chunk(b"pHYs", bytes([0, 0, 0, 9] * 2 + [1]))
    split = zlib.compress(scanlines(GREY))
    empty = chunk(b"IDAT", b"")
    parts = [empty, *(chunk(b"IDAT", split[i : i + 99]) for i in range(0, len(split), 99)), empty]
    one_frame = chunk(b"acTL", (1).to_bytes(4, "big") + bytes(4))
    for chunks in (
        [text, gamma, resolution, PIXELS, text],
        parts,
        [chunk(b"sBIT", b"\5"), PIXELS],
        [one_frame, PIXELS],
    ):
        radiograph = read_radiograph(png(GREY8, *chunks))
        np.testing.assert_array_equal(radiograph.pixels, GREY)
        assert radiograph.decisions.notes == ()
    np.testing.assert_array_equal(read_radiograph(png(GREY8, PIXELS) + b"rest\0" * 99).pixels, GREY)


def test_a_wrong_checksum_anywhere_and_a_missing_end_are_errors() -> None:
    text = chunk(b"tEXt", b"Comment\0good")
    data = png(GREY8, text, PIXELS)
    for changed in (data.replace(b"good", b"evil"), data[:-12], data[:-1], data[:-12] + b"garbage!" * 9):
        with pytest.raises(ImageError, match="is a PNG"):
            read_radiograph(changed)


def test_significant_bits_do_not_change_the_range() -> None:
    pixels = chunk(b"IDAT", zlib.compress(scanlines(GREY16.astype(">u2"))))
    for chunks in ([pixels], [chunk(b"sBIT", bytes([12])), pixels]):
        radiograph = read_radiograph(png(bytes([16, 0, 0]), *chunks))
        np.testing.assert_array_equal(radiograph.pixels, GREY16)
        assert (radiograph.value_range, radiograph.decisions.bits_stored) == ((0, 65535), 16)


def test_alpha_of_sixteen_bits_and_of_one_colour_are_over_black() -> None:
    alpha = np.full_like(GREY16, 65535)
    alpha[5:9] = 13107
    lines = scanlines(np.stack([GREY16, alpha], axis=2).astype(">u2").reshape(ROWS, -1))
    radiograph = read_radiograph(png(bytes([16, 4, 0]), chunk(b"IDAT", zlib.compress(lines))))
    assert np.abs(radiograph.pixels - GREY16 * (alpha / 65535)).max() <= 0.5
    key = int(GREY[20, 30])
    keyed = read_radiograph(png(GREY8, chunk(b"tRNS", bytes([0, key])), PIXELS))
    np.testing.assert_array_equal(keyed.pixels, np.where(key == GREY, 0, GREY))
    assert keyed.decisions.notes == ("alpha_over_black",)


def bmp(indices: np.ndarray, bits: int, palette: np.ndarray, compression: int = 0, data: bytes = b"") -> bytes:
    """A BMP of palette indices, last row first; a negative height, for first row first, if ``bits`` is negative."""
    top_down, bits = bits < 0, abs(bits)
    lines = indices if top_down else indices[::-1]
    if not data:
        each = (lines[..., None] >> np.arange(bits)[::-1]) & 1
        octets = np.packbits(each.reshape(ROWS, -1).astype(np.uint8), axis=1)
        data = np.pad(octets, [(0, 0), (0, -octets.shape[1] % 4)]).tobytes()
    table = b"".join(bytes([grey, grey, grey, 0]) for grey in palette)
    height = -ROWS if top_down else ROWS
    header = struct.pack("<IiiHHIIiiII", 40, COLUMNS, height, 1, bits, compression, len(data), 0, 0, len(palette), 0)
    start = 14 + len(header) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + table + data


@pytest.mark.parametrize("bits", [1, 4, 8, -1, -4, -8])
def test_bmp_palettes_of_both_polarities_are_looked_through(bits: int) -> None:
    levels = 2 ** abs(bits)
    indices = asymmetric(levels - 1)
    for palette in (np.arange(levels), np.arange(levels)[::-1]):
        greys = palette * 255 // (levels - 1)
        np.testing.assert_array_equal(read_radiograph(bmp(indices, bits, greys)).pixels, greys[indices])


def test_run_length_bmps_are_read_and_cut_ones_refused() -> None:
    runs = b"".join(b"".join(bytes([1, value]) for value in line) + b"\0\0" for line in GREY[::-1]) + b"\0\1"
    data = bmp(GREY, 8, np.arange(256), 1, runs)
    np.testing.assert_array_equal(read_radiograph(data).pixels, GREY)
    with pytest.raises(ImageError, match="BMP whose pixels are damaged"):
        read_radiograph(data[: len(data) // 2])


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_bmps_without_palette_are_read(bits: int) -> None:
    if bits == 16:  # five bits a channel
        five = (GREY >> 3).astype("<u2")
        lines = (five << 10 | five << 5 | five)[::-1]
        expected = np.rint((GREY >> 3) * (255 / 31))
    else:
        lines = np.stack([GREY] * 3 + [np.full_like(GREY, 0)] * (bits == 32), axis=2)[::-1]
        expected = GREY
    octets = np.ascontiguousarray(lines).view(np.uint8).reshape(ROWS, -1)
    data = np.pad(octets, [(0, 0), (0, -octets.shape[1] % 4)]).tobytes()
    radiograph = read_radiograph(bmp(GREY, bits, np.empty(0, int), 0, data))
    assert np.abs(radiograph.pixels - expected).max() <= 1
    assert radiograph.decisions.notes == ()


@pytest.mark.parametrize("interlace", [0, 1])
def test_gif_palettes_interlacing_and_transparency(interlace: int) -> None:
    image = Image.fromarray(GREY).convert("P")
    image.putpalette([255 - i // 3 for i in range(768)])
    buffer = BytesIO()
    image.save(buffer, "GIF", interlace=interlace)
    np.testing.assert_array_equal(read_radiograph(buffer.getvalue()).pixels, 255 - GREY)
    buffer = BytesIO()
    key = int(GREY[20, 30])
    Image.fromarray(GREY).save(buffer, "GIF", interlace=interlace, transparency=key)
    radiograph = read_radiograph(buffer.getvalue())
    np.testing.assert_array_equal(radiograph.pixels, np.where(key == GREY, 0, GREY))
    assert radiograph.decisions.notes == ("alpha_over_black",)


def test_large_colour_pictures_are_converted_alike_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = np.stack([GREY, GREY, GREY], axis=2)
    colour[20:, :, 1] = 7  # the first blocks are grey, the last coloured
    whole = read_radiograph(encoded(colour, "PNG"))
    monkeypatch.setattr(raster_grey, "BLOCK_VALUES", 3 * COLUMNS * 5)
    parts = read_radiograph(encoded(colour, "PNG"))
    np.testing.assert_array_equal(whole.pixels, parts.pixels)
    np.testing.assert_array_equal(whole.pixels[:20], GREY[:20])
    assert whole.decisions.notes == parts.decisions.notes == ("colour_to_grey",)
