import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import reference_png
from pictures import asymmetric, encoded
from PIL import Image

from segpipe.errors import ImageError
from segpipe.io.radiograph import read_radiograph

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


def test_white_is_zero_tiffs_are_positive_in_8_and_16_bits() -> None:
    for picture in (GREY, GREY16):
        full = np.iinfo(picture.dtype).max
        data = encoded(full - picture, "TIFF", tiffinfo={262: 0})
        stored = np.array(Image.open(BytesIO(data))) if picture is GREY else full - picture
        if picture is GREY:  # Pillow writes the tag as its mode demands, so take what a viewer shows
            np.testing.assert_array_equal(read_radiograph(data).pixels, stored)
        else:
            photometric = Image.open(BytesIO(data)).tag_v2[262]
            expected = picture if photometric == 0 else full - picture
            np.testing.assert_array_equal(read_radiograph(data).pixels, expected)


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


def test_a_png_whose_compressed_stream_ends_early_is_an_error_in_spite_of_right_checksums() -> None:
    header = chunk(b"IHDR", (53).to_bytes(4, "big") + (37).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0]))
    lines = b"".join(b"\0" + line.tobytes() for line in GREY)
    for pixels, good in (
        (zlib.compress(lines), True),
        (zlib.compress(lines)[:-200], False),
        (zlib.compress(lines[:-9]), False),
    ):
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
        if good:
            np.testing.assert_array_equal(read_radiograph(data).pixels, GREY)
        else:
            with pytest.raises(ImageError, match="damaged or cut off"):
                read_radiograph(data)


def test_enormous_declared_sizes_are_refused_before_decoding() -> None:
    header = chunk(b"IHDR", (100_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="100000 x 100000 pixels, more than"):
        read_radiograph(data)


def test_the_whole_png_suite_decodes_to_the_greys_of_the_specification(real_data: Path) -> None:
    files = sorted((real_data / "hostile" / "png").glob("*.png"))
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
