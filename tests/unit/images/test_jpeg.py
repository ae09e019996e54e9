import base64
import contextlib
import struct
import zlib
from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from segpipe.config import Raster
from segpipe.errors import ImageError
from segpipe.images.raster.jpeg import fraction_for
from segpipe.images.read import read_radiograph
from segpipe.images.types import Radiograph
from tests.unit.images.pictures import asymmetric, encoded

ROWS, COLUMNS = 64, 96
GREY = cv2.resize(asymmetric().astype(np.uint8), (COLUMNS, ROWS))
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
UNDO = {1: lambda a: a, 2: np.fliplr, 3: lambda a: a[::-1, ::-1], 4: np.flipud, 5: np.transpose}
UNDO |= {6: np.rot90, 7: lambda a: a[::-1, ::-1].T, 8: lambda a: np.rot90(a, -1)}


def jpeg(picture: np.ndarray = GREY, **options: object) -> bytes:
    return encoded(np.ascontiguousarray(picture), "JPEG", **{"quality": 95} | options)


def scaled(data: bytes, least: tuple[int, int], policy: str = "auto") -> Radiograph:
    return read_radiograph(data, raster=Raster(jpeg_resolution=policy), target=lambda _: least)


def averaged(picture: np.ndarray, fraction: int) -> np.ndarray:
    rows, columns = picture.shape
    return picture.reshape(rows // fraction, fraction, columns // fraction, fraction).mean(axis=(1, 3))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 3}])
def test_grey_comes_out_as_libjpeg_gives_it(options: dict[str, object]) -> None:
    data = jpeg(**options)
    radiograph = read_radiograph(data)
    np.testing.assert_array_equal(radiograph.pixels, np.asarray(Image.open(BytesIO(data))))
    assert np.abs(radiograph.pixels.astype(int) - GREY).mean() < 2
    assert radiograph.decisions.photometric_interpretation == "grey"
    assert (radiograph.decisions.bits_stored, radiograph.decisions.notes) == (8, ())


def test_of_ycbcr_the_y_is_taken_and_of_rgb_the_luma() -> None:
    for options, colour in (({"subsampling": 0}, "YCbCr"), ({"subsampling": 2}, "YCbCr"), ({"keep_rgb": True}, "RGB")):
        radiograph = read_radiograph(jpeg(COLOUR, **options))
        assert np.abs(radiograph.pixels - COLOUR @ [0.299, 0.587, 0.114]).mean() < 2
        assert radiograph.decisions.photometric_interpretation == colour
        assert radiograph.decisions.notes == ("colour_to_grey",)


def test_an_adobe_marker_without_transform_means_rgb() -> None:
    data = jpeg(COLOUR, keep_rgb=True)
    plain_ids = data.replace(b"R\x11\0", b"\1\x11\0").replace(b"G\x11\0", b"\2\x11\0").replace(b"B\x11\0", b"\3\x11\0")
    frame, scan = plain_ids.index(b"\xff\xc0"), plain_ids.index(b"\xff\xda")
    plain_ids = (
        plain_ids[:frame] + plain_ids[frame:scan] + plain_ids[scan:].replace(b"\3R\0G\0B\0", b"\3\1\0\2\0\3\0", 1)
    )
    adobe = b"\xff\xee" + struct.pack(">H", 14) + b"Adobe\0\x64\0\0\0\0\0"
    without = plain_ids.index(b"\xff\xdb")
    data = b"\xff\xd8" + adobe + plain_ids[without:]
    radiograph = read_radiograph(data)
    assert radiograph.decisions.photometric_interpretation == "RGB"
    assert np.abs(radiograph.pixels - COLOUR @ [0.299, 0.587, 0.114]).mean() < 2


def test_twelve_bits_are_kept() -> None:
    picture = (GREY.astype(np.uint16) * 16).clip(0, 4095)
    radiograph = read_radiograph(imagecodecs.jpeg8_encode(picture, bitspersample=12, level=98))
    assert (radiograph.pixels.dtype, radiograph.value_range) == (np.uint16, (0, 4095))
    assert np.abs(radiograph.pixels.astype(int) - picture).mean() < 20
    assert radiograph.decisions.bits_stored == 12


def test_lossless_jpegs_change_nothing() -> None:
    np.testing.assert_array_equal(read_radiograph(imagecodecs.jpeg8_encode(GREY, lossless=True)).pixels, GREY)
    deep = GREY.astype(np.uint16) * 257
    radiograph = read_radiograph(imagecodecs.jpeg8_encode(deep, lossless=True, bitspersample=16))
    np.testing.assert_array_equal(radiograph.pixels, deep)
    assert radiograph.value_range == (0, 65535)


ARITHMETIC = {  # 24 x 16 pixels of 9 x + 4 y, sequential and progressive
    "sequential": (
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I?pTn}?5wOMs7;Pe@QeSVBWeLQG7;P+3)0!^+s!#?sir+`%Kp&%q_!)!ZT="
        "H!wUtDLo_I&bP3#Af+NEH9h(NNd|5X1_=fMMn*w~|7RH37z6}Z|KDQZ09j+t@SmY%j>yaW=Kl-}R^(4Fwm)vk{ddQ+"
        "6{qtZ{@(-uS+^@X"
    ),
    "progressive": (
        "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I?pTn}?5wOMs7;Pe@QeSVBWeLQG7;P+3)0!^+s!#?sir+`%Kp&%q_!)!ZT="
        "H!wUtDLo_I&bP3#Af+NEH9h(NDF$v11_=fMMn*w~|7RFj7zF;`V&DK-!oc|N^_p}Meg}}S04r3Ok(EjO(Zccq6hSt7"
        "rUR&|>=j?Z%@O#ACMU2$c>Ptc1OIOV0Jb_i0R"
    ),
}


@pytest.mark.parametrize("kind", ARITHMETIC)
def test_arithmetic_coding_is_read(kind: str) -> None:
    y, x = np.mgrid[:24, :16]
    pixels = read_radiograph(zlib.decompress(base64.b85decode(ARITHMETIC[kind]))).pixels
    assert np.abs(pixels.astype(int) - (9 * x + 4 * y)).max() <= 3


UNUSUAL = (
    "c-s4a<NpH&0WUXCHwH#V1_nkTWcYuZ!I?pTn}?5wOMs7;Pe@QeSVBWeLQG7;P+3)0!^+s!#?sir+`%Kp&%q_!)!ZT="
    "H!wUtDLo_I&bP3#Af+NEH9Z+*2&15okc6m&zLb=HvXg~VGRffo0R}-11_1^IW=1ClCP7AKLB{__7(~HNMFy;FKw)tK"
    "24*yIW)?%Bgb2EFpcjFnf|#PW7<hn2FbOgXGT1Zp&W+Ht+7MKlu;kStI}mx$^J>%N)eQe{0stoCN5u"
)  # 16 x 32 pixels of 5 x + 3 y, its chroma at a quarter of the columns and half of the rows


def test_unusual_subsampling_is_read_in_full() -> None:
    y, x = np.mgrid[:16, :32]
    radiograph = scaled(zlib.decompress(base64.b85decode(UNUSUAL)), (4, 8))
    assert np.abs(radiograph.pixels.astype(int) - (5 * x + 3 * y)).max() <= 8
    assert (radiograph.decisions.photometric_interpretation, radiograph.decisions.decoded_at) == ("YCbCr", 1)


def test_printing_colours_are_refused() -> None:
    buffer = BytesIO()
    Image.fromarray(COLOUR).convert("CMYK").save(buffer, "JPEG")
    with pytest.raises(ImageError, match="4 colour channels, as made for printing"):
        read_radiograph(buffer.getvalue())


def test_the_target_decides_the_fraction() -> None:
    data = jpeg()
    for least, fraction in (((64, 96), 1), ((33, 48), 1), ((32, 48), 2), ((16, 24), 4), ((16, 13), 4), ((8, 12), 8)):
        radiograph = scaled(data, least)
        assert radiograph.decisions.decoded_at == fraction
        assert radiograph.shape == (ROWS, COLUMNS)
        assert radiograph.pixels.shape == (ROWS // fraction, COLUMNS // fraction)
    assert scaled(data, (8, 12), "full").decisions.decoded_at == 1
    assert read_radiograph(data, raster=Raster(jpeg_resolution="auto")).decisions.decoded_at == 1


def test_sizes_that_do_not_divide_are_decoded_in_full_or_at_a_fraction_that_does() -> None:
    assert fraction_for((64, 96), (1, 1)) == 8
    assert fraction_for((68, 96), (1, 1)) == 4
    assert fraction_for((66, 96), (1, 1)) == 2
    assert fraction_for((65, 96), (1, 1)) == 1
    assert fraction_for((64, 97), (1, 1)) == 1
    assert scaled(jpeg(GREY[:63]), (8, 8)).pixels.shape == (63, COLUMNS)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("fraction", [2, 4, 8])
def test_a_smaller_picture_lies_where_averaging_puts_it(fraction: int, colour: bool) -> None:
    y, x = np.mgrid[:ROWS, :COLUMNS]
    ramp = (x + 1.5 * y).astype(np.uint8)  # a shift by one pixel of the full picture would show as 1 to 1.5
    picture = np.stack([ramp] * 3, axis=2) if colour else ramp
    data = jpeg(picture, quality=100, **({"subsampling": 2} if colour else {}))
    small = scaled(data, (ROWS // fraction, COLUMNS // fraction)).pixels
    full = read_radiograph(data).pixels
    difference = small - averaged(full, fraction)
    assert abs(difference.mean()) <= 0.5
    assert np.abs(difference).max() < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_target_is_that_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = jpeg(UNDO[orientation](GREY), exif=exif)
    radiograph = scaled(data, (32, 30))
    assert radiograph.decisions.decoded_at == 2
    assert (radiograph.shape, radiograph.pixels.shape) == ((ROWS, COLUMNS), (ROWS // 2, COLUMNS // 2))
    assert np.abs(radiograph.pixels - averaged(GREY, 2)).mean() < 2
    assert scaled(data, (33, 30)).decisions.decoded_at == 1


def test_damaged_exif_is_as_none() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = jpeg(exif=exif)
    at = data.index(b"Exif\0\0") + 6
    for broken in (b"XX*\0", b"MM\0*\xff\xff\xff\xff"):
        radiograph = read_radiograph(data[:at] + broken + data[at + len(broken) :])
        assert radiograph.pixels.shape == (ROWS, COLUMNS)
        assert radiograph.decisions.notes == ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("least", [(64, 96), (32, 48)])
def test_every_cut_is_seen(options: dict[str, object], least: tuple[int, int]) -> None:
    data = jpeg(**options)
    for end in [*range(4, len(data), 37), len(data) - 1]:
        with pytest.raises(ImageError):
            scaled(data[:end], least)


@pytest.mark.parametrize(
    "options", [{"subsampling": n} for n in ("4:4:4", "4:2:2", "4:2:0")] + [{"restart_marker_blocks": 3}]
)
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("fraction", [1, 4])
def test_every_cut_that_an_end_marker_hides_is_seen(colour: bool, options: dict[str, object], fraction: int) -> None:
    for rows, columns in ((ROWS, COLUMNS), (36, 60), (8, 4)):
        data = jpeg((COLOUR if colour else GREY)[:rows, :columns], **options)
        least = (rows // fraction, columns // fraction)
        assert scaled(data, least).pixels.shape == least
        for cut in range(data.index(b"\xff\xda") + 20, len(data) - 2, 29):
            with pytest.raises(ImageError, match="JPEG"):
                scaled(data[:cut].rstrip(b"\xff") + b"\xff\xd9", least)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_cut_that_an_end_marker_hides_is_seen_in_lossless_and_deep_jpegs(bits: int) -> None:
    picture = (
        np.random.default_rng(0).integers(0, 2**bits, (ROWS, COLUMNS)).astype(np.uint8 if bits == 8 else np.uint16)
    )
    for lossless in (True, False)[: 1 + (bits == 12)]:
        data = imagecodecs.jpeg8_encode(picture, lossless=lossless, bitspersample=bits, level=None if lossless else 95)
        assert read_radiograph(data).pixels.shape == picture.shape
        for cut in range(data.index(b"\xff\xda") + 20, len(data) - 2, 997):
            with pytest.raises(ImageError, match="JPEG"):
                read_radiograph(data[:cut].rstrip(b"\xff") + b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_data_that_go_on_behind_the_picture_are_refused(options: dict[str, object]) -> None:
    data = jpeg(**options)
    with pytest.raises(ImageError, match="compressed pixels are damaged"):
        read_radiograph(data[:-2] + bytes(range(1, 100)) + data[-2:])
    deep = imagecodecs.jpeg8_encode(GREY.astype(np.uint16) * 16, bitspersample=12, level=98)
    with pytest.raises(ImageError, match="compressed pixels are damaged"):
        read_radiograph(deep[:-2] + bytes(range(1, 100)) + deep[-2:])


def test_mid_grey_at_the_end_is_no_damage() -> None:
    picture = np.full((ROWS, COLUMNS), 128, np.uint8)
    picture[:8] = GREY[:8]
    data = jpeg(picture)
    np.testing.assert_array_equal(read_radiograph(data).pixels, imagecodecs.jpeg8_decode(data))


def test_a_changed_bit_gives_a_reason_or_a_whole_picture() -> None:
    for data in (jpeg(), jpeg(progressive=True), jpeg(COLOUR, restart_marker_blocks=2)):
        for at in range(2, len(data), 11):
            for bit in (1, 128):
                changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
                with contextlib.suppress(ImageError):
                    radiograph = read_radiograph(changed)
                    assert radiograph.pixels.shape == radiograph.shape


WITH_RESTARTS = jpeg(restart_marker_blocks=3)
SCAN, FRAME = WITH_RESTARTS.index(b"\xff\xda"), WITH_RESTARTS.index(b"\xff\xc0")
DAMAGED = {
    "restart out of turn": WITH_RESTARTS.replace(b"\xff\xd1", b"\xff\xd2", 1),
    "restart without interval": jpeg()[:-40] + b"\xff\xd0" + jpeg()[-40:],
    "a marker in the data": WITH_RESTARTS[: SCAN + 40] + b"\xff\xa9" + WITH_RESTARTS[SCAN + 40 :],
    "two frames": WITH_RESTARTS[:SCAN] + WITH_RESTARTS[FRAME : FRAME + 13] + WITH_RESTARTS[SCAN:],
    "no picture": b"\xff\xd8\xff\xd9",
    "no scan": WITH_RESTARTS[:SCAN] + b"\xff\xd9",
    "a length of 1": b"\xff\xd8\xff\xe0\0\1" + WITH_RESTARTS[2:],
    "text between segments": WITH_RESTARTS[:20] + b"text" + WITH_RESTARTS[20:],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_that_markers_show_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="JPEG"):
        read_radiograph(DAMAGED[name])


def test_what_follows_the_end_marker_is_not_read() -> None:
    for rest in (bytes(100), jpeg(GREY[::-1]), b"\xff\xd8\xff"):
        np.testing.assert_array_equal(read_radiograph(jpeg() + rest).pixels, read_radiograph(jpeg()).pixels)


def test_many_scans_are_refused() -> None:
    data = jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="more than 64 scans"):
        read_radiograph(data[:-2] + data[last:-2] * 70 + b"\xff\xd9")


def test_declared_sizes_are_checked_first() -> None:
    data = jpeg()
    at = data.index(b"\xff\xc0") + 5
    for rows, columns, reason in ((65000, 65000, "65000 x 65000 pixels, more than"), (0, 96, "0 rows")):
        with pytest.raises(ImageError, match=reason):
            read_radiograph(data[:at] + struct.pack(">HH", rows, columns) + data[at + 4 :])


@pytest.mark.parametrize("code", [0xC5, 0xC7, 0xCB, 0xCD])
def test_processes_that_are_not_read_are_named(code: int) -> None:
    with pytest.raises(ImageError, match="hierarchical or arithmetic lossless"):
        read_radiograph(jpeg().replace(b"\xff\xc0", bytes([0xFF, code]), 1))
