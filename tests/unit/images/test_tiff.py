from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from segpipe.config import Raster
from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from tests.unit.images.pictures import COLUMNS, ROWS, asymmetric, encoded
from tests.unit.images.tiff_files import deflate, lzw, packbits, packbits_rows, tiff

GREY = asymmetric()
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
COLOUR16 = COLOUR * 257
COMPRESSIONS = {1: bytes, 5: lzw, 8: deflate, 32946: deflate}


def luma(colour: np.ndarray) -> np.ndarray:
    return colour[..., :3] @ [0.299, 0.587, 0.114]


def read(data: bytes, page: int | None = None) -> np.ndarray:
    return read_radiograph(data, raster=Raster(page=page)).pixels


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_of_every_depth_polarity_and_byte_order_shows_the_same_picture(
    bits: int, photometric: int, big: bool
) -> None:
    picture = asymmetric(2**bits - 1)
    stored = picture if photometric else 2**bits - 1 - picture
    radiograph = read_radiograph(tiff(stored, bits, photometric, big=big))
    expected = picture * 255 // (2**bits - 1) if bits < 8 else picture
    np.testing.assert_array_equal(radiograph.pixels, expected)
    assert radiograph.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert radiograph.value_range == (0, 255 if bits <= 8 else 2**bits - 1)
    assert radiograph.decisions.bits_stored == bits
    assert radiograph.decisions.photometric_interpretation == "grey"
    assert radiograph.decisions.notes == (() if photometric else ("white_is_zero",))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("bits", [1, 8, 12, 16])
def test_lossless_compressions_change_nothing(bits: int, compression: int) -> None:
    picture = asymmetric(2**bits - 1)
    expected = picture * 255 if bits == 1 else picture
    options = {"compress": COMPRESSIONS[compression], "tags": {259: compression}}
    np.testing.assert_array_equal(read(tiff(picture, bits, **options)), expected)
    np.testing.assert_array_equal(read(tiff(picture, bits, tile=16, **options)), expected)
    if bits in (8, 16) and compression != 1:
        for big in (False, True):
            np.testing.assert_array_equal(read(tiff(picture, bits, predictor=2, big=big, **options)), expected)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_packbits_change_nothing(bits: int) -> None:
    picture = asymmetric(2**bits - 1)
    width = (COLUMNS * bits + 7) // 8
    data = tiff(picture, bits, compress=packbits_rows(width), tags={259: 32773})
    np.testing.assert_array_equal(read(data), picture * 255 if bits == 1 else picture)


@pytest.mark.parametrize(
    "layout", [{}, {"planar": True}, {"tile": 16}, {"planar": True, "tile": 16}, {"bigtiff": True}]
)
@pytest.mark.parametrize("big", [False, True])
def test_colour_keeps_its_depth_in_every_layout(layout: dict[str, bool], big: bool) -> None:
    for colour, bits in ((COLOUR, 8), (COLOUR16, 16)):
        radiograph = read_radiograph(tiff(colour, bits, 2, big=big, **layout))
        assert np.abs(radiograph.pixels - luma(colour)).max() <= 1
        assert radiograph.value_range == (0, 2**bits - 1)
        assert radiograph.decisions.notes == ("colour_to_grey",)
        plain = np.stack([colour[..., 0]] * 3, axis=2)
        np.testing.assert_array_equal(read(tiff(plain, bits, 2, big=big, **layout)), colour[..., 0])


def test_alpha_is_composed_as_its_kind_says() -> None:
    alpha = np.full_like(GREY, 255)
    alpha[5:9] = 51
    for layers, photometric in (([GREY], 1), ([GREY] * 3, 2)):
        straight = read_radiograph(tiff(np.stack([*layers, alpha], axis=2), 8, photometric, tags={338: 2}))
        expected = GREY * alpha // 255
        assert np.abs(straight.pixels - expected.astype(int)).max() <= 1
        multiplied = [layer * alpha // 255 for layer in layers]
        associated = read_radiograph(tiff(np.stack([*multiplied, alpha], axis=2), 8, photometric, tags={338: 1}))
        np.testing.assert_array_equal(associated.pixels, expected)
        assert straight.decisions.notes == associated.decisions.notes == ("alpha_over_black",)
        unspecified = read_radiograph(tiff(np.stack([*layers, alpha], axis=2), 8, photometric, tags={338: 0}))
        np.testing.assert_array_equal(unspecified.pixels, GREY)
        assert unspecified.decisions.notes == ("extra_channels_ignored",)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_are_looked_through(bits: int) -> None:
    indices = asymmetric(2**bits - 1)
    greys = np.rint(np.linspace(255, 0, 2**bits)).astype(int)
    for scale in (257, 1):  # some writers fill in bytes
        radiograph = read_radiograph(tiff(indices, bits, 3, tags={320: [*(greys * scale)] * 3}))
        np.testing.assert_array_equal(radiograph.pixels, greys[indices])
        assert radiograph.decisions.photometric_interpretation == "palette"
    with pytest.raises(ImageError, match=r"valid palette|damaged"):
        read(tiff(indices, bits, 3))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions_are_read(compression: str) -> None:
    np.testing.assert_array_equal(read(encoded(GREY > 100, "TIFF", compression=compression)), (GREY > 100) * 255)


def test_jpeg_compression_is_read() -> None:
    plain = read(encoded(GREY.astype(np.uint8), "TIFF", compression="jpeg", quality=98))
    assert np.abs(plain - GREY).mean() < 2
    smooth = Image.fromarray(COLOUR.astype(np.uint8)).resize((64, 48))
    colour = read(encoded(np.asarray(smooth), "TIFF", compression="jpeg", quality=98))
    assert np.abs(colour - luma(np.asarray(smooth))).mean() < 3


def test_bits_may_be_filled_in_from_the_low_end() -> None:
    mirror = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)])
    np.testing.assert_array_equal(read(tiff(mirror[GREY], 8, tags={266: 2})), GREY)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_sixteen_bits_are_turned_upright(orientation: int) -> None:
    undo = {2: np.fliplr, 3: lambda a: a[::-1, ::-1], 4: np.flipud, 5: np.transpose}
    undo |= {6: np.rot90, 7: lambda a: a[::-1, ::-1].T, 8: lambda a: np.rot90(a, -1)}
    stored = undo[orientation](asymmetric(65535))
    radiograph = read_radiograph(tiff(stored, 16, 0, tags={274: orientation}))
    np.testing.assert_array_equal(radiograph.pixels, 65535 - asymmetric(65535))
    assert radiograph.decisions.notes == (f"tiff_orientation:{orientation}", "white_is_zero")


@pytest.mark.parametrize("layout", [{}, {"big": True}, {"bigtiff": True}])
def test_a_page_is_chosen_by_its_number_and_recorded(layout: dict[str, bool]) -> None:
    data = tiff(GREY, 8, more=[{262: 0}, {274: 3}], **layout)
    with pytest.raises(ImageError, match=r"several pages \(3\); choose .* raster\.page"):
        read(data)
    for page, expected in ((1, GREY), (2, 255 - GREY), (3, GREY[::-1, ::-1])):
        radiograph = read_radiograph(data, raster=Raster(page=page))
        np.testing.assert_array_equal(radiograph.pixels, expected)
        assert radiograph.decisions.frame == page
    with pytest.raises(ImageError, match=r"with 3 pages, and raster\.page asks for page 4"):
        read(data, 4)


def test_one_page_is_page_one_and_no_frame_is_recorded() -> None:
    radiograph = read_radiograph(tiff(GREY, 8), raster=Raster(page=1))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.decisions.frame is None


def test_thumbnails_and_masks_of_a_page_are_no_pages() -> None:
    for kind in (1, 4, 5):
        after = tiff(GREY, 8, more=[{254: (4, kind), 262: 0}])
        np.testing.assert_array_equal(read(after), GREY)
        assert read_radiograph(after).decisions.frame is None
        before = tiff(GREY, 8, tags={254: (4, kind)}, more=[{254: (4, 0), 262: 0}])
        np.testing.assert_array_equal(read(before), 255 - GREY)
    np.testing.assert_array_equal(read(tiff(GREY, 8, tags={254: (4, 1)})), GREY)
    np.testing.assert_array_equal(read(tiff(GREY, 8, more=[{254: (4, 1)}, {262: 0}]), 2), 255 - GREY)


REFUSED = [
    ({339: 2}, "floating-point, signed or 32-bit"),
    ({339: 3}, "floating-point, signed or 32-bit"),
    ({258: 32}, "floating-point, signed or 32-bit"),
    ({259: 34712}, "compression 34712"),
    ({259: 6}, "compression 6"),
    ({262: 5}, "colour type 5 with 1 channels"),
    ({262: 32803}, "colour type 32803"),
    ({262: 2}, "colour type 2 with 1 channels"),
    ({262: None}, "colour type -1"),
    ({256: 100_000, 257: 100_000}, "100000 x 100000 pixels, more than"),
    ({256: None}, "0 columns"),
    ({273: [8], 279: [9]}, "structure is damaged"),
    ({273: None}, "structure is damaged"),
    ({278: 1}, "structure is damaged"),
    ({273: [9999] * 6}, "ends too early"),
    ({279: [60000] * 6}, "ends too early"),
    ({257: 200, 278: 200}, "damaged or cut off"),
    ({322: 65520, 323: 65520, 324: [8], 325: [9]}, "structure is damaged"),
]


@pytest.mark.parametrize(("tags", "reason"), REFUSED)
def test_what_is_not_read_or_cannot_be_is_refused(tags: dict[int, object], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read(tiff(GREY, 8, tags=tags))


def test_colour_of_odd_depths_is_refused() -> None:
    with pytest.raises(ImageError, match="12 bits and 3 channels"):
        read(tiff(COLOUR * 16, 12, 2))
    with pytest.raises(ImageError, match="12 bits and 1 channels"):
        read(tiff(GREY, 12, 3, tags={320: [0] * 768}))


def test_a_tag_that_is_there_twice_is_refused() -> None:
    data = tiff(GREY, 8)
    first = int.from_bytes(data[4:8], "little")
    columns, rows = data[first + 2 : first + 14], data[first + 14 : first + 26]
    twice = data[: first + 14] + columns[:8] + rows[8:] + data[first + 26 :]
    with pytest.raises(ImageError, match="structure is damaged"):
        read(twice)


def test_directories_in_a_circle_or_without_end_are_refused() -> None:
    data = tiff(GREY, 8)
    with pytest.raises(ImageError, match="structure is damaged"):
        read(_with_next_directory(data, int.from_bytes(data[4:8], "little")))
    with pytest.raises(ImageError, match="structure is damaged"):
        read(_with_next_directory(data, len(data) + 5))
    with pytest.raises(ImageError, match="more than 1024 pages"):
        read(tiff(GREY[:2, :3], 8, pages=1100))
    with pytest.raises(ImageError, match="structure is damaged"):
        read(b"II*\0" + bytes(4))


def test_offsets_beyond_any_file_are_refused() -> None:
    data = tiff(GREY, 8, bigtiff=True)
    for offset in (2**63 - 1, 2**64 - 1, len(data)):
        with pytest.raises(ImageError, match="structure is damaged"):
            read(data[:8] + offset.to_bytes(8, "little") + data[16:])


def _with_next_directory(data: bytes, following: int) -> bytes:
    first = int.from_bytes(data[4:8], "little")
    at = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    return data[:at] + following.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize("compress", [lzw, deflate, packbits])
def test_strips_that_hold_too_little_are_refused(compress: Callable[[bytes], bytes]) -> None:
    number = {lzw: 5, deflate: 8, packbits: 32773}[compress]
    with pytest.raises(ImageError, match="damaged or cut off"):
        read(tiff(GREY, 8, compress=lambda strip: compress(strip[:-20]), tags={259: number}))


@pytest.mark.parametrize("damage", ["zeros", "wrong sum", "cut sum"])
def test_deflated_strips_that_libtiff_would_fill_up_are_refused(damage: str) -> None:
    def compress(strip: bytes) -> bytes:
        whole = deflate(strip)
        half = len(whole) // 2
        wrong = whole[:-1] + bytes([whole[-1] ^ 1])
        return {"zeros": whole[:half] + bytes(len(whole) - half), "wrong sum": wrong, "cut sum": whole[:-3]}[damage]

    noise = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS))
    np.testing.assert_array_equal(read(tiff(noise, 8, compress=deflate, tags={259: 8})), noise)
    with pytest.raises(ImageError, match="damaged or cut off"):
        read(tiff(noise, 8, compress=compress, tags={259: 8}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda jpeg: bytes(len(jpeg)),
        lambda jpeg: b"\xff\xd0" * (len(jpeg) // 2),
        lambda jpeg: jpeg[: len(jpeg) // 2].rstrip(b"\xff") + b"\xff\xd9",  # the end marker is there, but too early
    ],
)
def test_jpeg_strips_that_libtiff_would_paint_grey_are_refused(damage: Callable[[bytes], bytes]) -> None:
    data = encoded(GREY.astype(np.uint8), "TIFF", compression="jpeg", quality=98)
    scan, end = data.index(b"\xff\xda") + 40, data.index(b"\xff\xd9") + 2
    with pytest.raises(ImageError, match="damaged or cut off"):
        read(data[:scan] + damage(data[scan:end]).ljust(end - scan, b"\0") + data[end:])


def test_sizes_are_those_of_the_page_that_is_read() -> None:
    huge_second = tiff(GREY, 8, more=[{256: 100_000, 257: 100_000}])
    assert read(huge_second, 1).shape == (ROWS, COLUMNS)
    with pytest.raises(ImageError, match="100000 x 100000"):
        read(huge_second, 2)
