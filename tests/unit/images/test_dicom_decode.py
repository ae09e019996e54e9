"""Compressed and multi-frame pixel data: the stored values come out, or an error says why not."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.dicom.codestream import is_complete, parse
from segpipe.images.read import read_radiograph
from segpipe.images.types import Radiograph
from tests.unit.images.pictures import COLUMNS, ROWS, asymmetric, dataset_of, dicom_file, encoded, saved

NO_VOI = Dicom(voi="none")
Encoder = Callable[[np.ndarray, int], bytes]


def jpeg_lossless(picture: np.ndarray, bits: int, predictor: int = 1) -> bytes:
    return imagecodecs.jpeg8_encode(picture, lossless=True, bitspersample=bits, predictor=predictor)


def jpeg(picture: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(picture, level=98, bitspersample=bits)


def jpeg_ls(picture: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpegls_encode(picture)


def jpeg_2000(picture: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(
        picture, codecformat="j2k", bitspersample=bits, reversible=True, level=0, resolutions=3
    )


def high_throughput_tiles(picture: np.ndarray, bits: int) -> bytes:
    return imagecodecs.htj2k_encode(picture, tile=(16, 24))


def high_throughput(picture: np.ndarray, bits: int) -> bytes:
    return imagecodecs.htj2k_encode(picture)


LOSSLESS: dict[str, tuple[str, Encoder]] = {
    "JPEG lossless": (uid.JPEGLosslessSV1, jpeg_lossless),
    "JPEG lossless, predictor 7": (uid.JPEGLossless, lambda picture, bits: jpeg_lossless(picture, bits, 7)),
    "JPEG-LS": (uid.JPEGLSLossless, jpeg_ls),
    "JPEG 2000": (uid.JPEG2000Lossless, jpeg_2000),
    "HTJ2K in tiles": (uid.HTJ2K, high_throughput_tiles),
    "HTJ2K": (uid.HTJ2KLossless, high_throughput),
}


def stored_as(picture: np.ndarray, bits: int, signed: bool = False) -> np.ndarray:
    return picture.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def compressed(frames: list[bytes], syntax: str, dataset: Dataset, **encapsulation: Any) -> bytes:
    """The data set as a file with these codestreams as its pixel data."""
    dataset.PixelData = encapsulate(frames, **encapsulation)
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    return saved(dataset)


def read(data: bytes, **policy: Any) -> Radiograph:
    return read_radiograph(data, Dicom(voi="none", **policy))


WHOLE_BYTES = ("JPEG-LS", "HTJ2K", "HTJ2K in tiles")  # is what these encoders write


@pytest.mark.parametrize(
    ("kind", "bits"),
    [(kind, bits) for kind in LOSSLESS for bits in ((8, 16) if kind in WHOLE_BYTES else (8, 10, 12, 15, 16))],
)
def test_lossless_syntaxes_give_the_stored_values_at_every_depth(kind: str, bits: int) -> None:
    syntax, encode = LOSSLESS[kind]
    picture = asymmetric(2**bits - 1)
    radiograph = read(compressed([encode(stored_as(picture, bits), bits)], syntax, dataset_of(picture, bits)))
    np.testing.assert_array_equal(radiograph.pixels, picture)
    assert radiograph.decisions.notes == ()
    assert radiograph.decisions.frame is None


@pytest.mark.parametrize("kind", ["JPEG 2000", "HTJ2K"])
def test_signed_codestreams_keep_their_sign(kind: str) -> None:
    syntax, encode = LOSSLESS[kind]
    picture = asymmetric(65535) - 32768
    data = compressed([encode(stored_as(picture, 16, True), 16)], syntax, dataset_of(picture, 16, True))
    np.testing.assert_array_equal(read(data).pixels, picture)


@pytest.mark.parametrize(("bits", "syntax"), [(8, uid.JPEGBaseline8Bit), (12, uid.JPEGExtended12Bit)])
def test_lossy_jpeg_of_8_and_12_bits_is_close_to_what_was_encoded(bits: int, syntax: str) -> None:
    picture = asymmetric(2**bits - 1)
    data = compressed([jpeg(stored_as(picture, bits), bits)], syntax, dataset_of(picture, bits))
    assert np.abs(read(data).pixels.astype(int) - picture).mean() < 0.01 * 2**bits


def test_near_lossless_jpeg_ls_stays_within_its_bound() -> None:
    picture = asymmetric(4000)
    stream = imagecodecs.jpegls_encode(stored_as(picture, 16), level=3)
    data = compressed([stream], uid.JPEGLSNearLossless, dataset_of(picture, 16))
    assert 0 < np.abs(read(data).pixels.astype(int) - picture).max() <= 3


def test_a_jp2_file_instead_of_a_codestream_is_read_and_noted() -> None:
    stream = imagecodecs.jpeg2k_encode(stored_as(asymmetric(), 8), codecformat="jp2", reversible=True, level=0)
    radiograph = read(compressed([stream], uid.JPEG2000Lossless, dataset_of(asymmetric(), 8)))
    np.testing.assert_array_equal(radiograph.pixels, asymmetric())
    assert radiograph.decisions.notes == ("jp2_boxes_skipped",)


# --- header and codestream


def test_a_codestream_with_other_bits_is_read_where_its_values_fit_and_noted() -> None:
    picture = asymmetric(1023)
    data = compressed([jpeg_2000(stored_as(picture, 16), 16)], uid.JPEG2000Lossless, dataset_of(picture, 10))
    radiograph = read(data)
    np.testing.assert_array_equal(radiograph.pixels, picture)
    assert radiograph.decisions.notes == ("codestream_bits:16",)
    wider = compressed([jpeg_2000(stored_as(picture, 16), 16)], uid.JPEG2000Lossless, dataset_of(picture, 9))
    with pytest.raises(ImageError, match="declares 9 bits stored, but the values of its compressed picture need more"):
        read(wider)


@pytest.mark.parametrize("bits", [12, 16])
def test_twos_complement_in_an_unsigned_codestream_is_read_as_the_header_says(bits: int) -> None:
    picture = asymmetric(2000) - 700
    pattern = picture & (2**bits - 1)
    data = compressed(
        [jpeg_2000(stored_as(pattern, 16), bits)], uid.JPEG2000Lossless, dataset_of(picture, bits, signed=True)
    )
    radiograph = read(data)
    np.testing.assert_array_equal(radiograph.pixels, picture)
    assert radiograph.decisions.notes == ("codestream_sign:unsigned",)


def test_a_signed_codestream_with_an_unsigned_header_is_read_as_bits_and_noted() -> None:
    pattern = asymmetric(65535)
    signed = pattern.astype(np.uint16).view(np.int16)
    radiograph = read(compressed([jpeg_2000(signed, 16)], uid.JPEG2000Lossless, dataset_of(pattern, 16)))
    np.testing.assert_array_equal(radiograph.pixels, pattern)
    assert radiograph.decisions.notes == ("codestream_sign:signed",)


def test_contradictions_between_header_and_codestream_are_refused() -> None:
    picture = asymmetric(255)
    grey, colour = stored_as(picture, 8), np.stack([stored_as(picture, 8)] * 3, axis=-1)
    cases: list[tuple[bytes, str, Dataset, str]] = [
        (jpeg_2000(stored_as(picture, 16), 12), uid.JPEG2000Lossless, dataset_of(picture, 8), "picture has 12 bits"),
        (jpeg(colour, 8), uid.JPEGBaseline8Bit, dataset_of(picture, 8), "compressed picture has 3; export"),
        (jpeg_ls(grey, 8), uid.JPEGLosslessSV1, dataset_of(picture, 8), "are not JPEG Lossless.* but JPEG-LS"),
        (jpeg_lossless(grey, 8), uid.JPEG2000, dataset_of(picture, 8), "are not JPEG 2000.* but JPEG;"),
        (jpeg_lossless(grey[:-1], 8), uid.JPEGLosslessSV1, dataset_of(picture, 8), f"has {ROWS - 1} x {COLUMNS}"),
        (jpeg_lossless(grey, 8), uid.JPEGLosslessSV1, dataset_of(picture, 12, True), "12 bits stored in 16, signed"),
    ]
    for stream, syntax, dataset, reason in cases:
        with pytest.raises(ImageError, match=reason):
            read(compressed([stream], syntax, dataset))


# --- damage


def without_middle(stream: bytes) -> bytes:
    return stream[: len(stream) // 2] + stream[len(stream) // 2 + 40 :]


def noisy(maximum: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, maximum + 1, (ROWS, COLUMNS))


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG baseline", "JPEG 12 bit"])
def test_data_missing_in_the_middle_are_an_error_and_never_filled_up(kind: str) -> None:
    lossy = {"JPEG baseline": (uid.JPEGBaseline8Bit, 8), "JPEG 12 bit": (uid.JPEGExtended12Bit, 12)}
    syntax, bits = lossy.get(kind, (LOSSLESS.get(kind, ("", None))[0], 8))
    encode = jpeg if kind in lossy else LOSSLESS[kind][1]
    picture = noisy(2**bits - 1)
    stream = encode(stored_as(picture, bits), bits)
    read(compressed([stream], syntax, dataset_of(picture, bits)))
    with pytest.raises(ImageError, match=r"damaged|cut off"):
        read(compressed([without_middle(stream)], syntax, dataset_of(picture, bits)))


@pytest.mark.parametrize("grey", [0, 127, 128, 255])
@pytest.mark.parametrize("rows", [ROWS, 8, 1])
def test_blank_jpeg_pictures_are_no_damaged_ones(grey: int, rows: int) -> None:
    # a decoder fills up with mid-grey, 128, so that such a picture could be taken for a damaged one
    for columns in (COLUMNS, 8, 1):
        picture = np.full((rows, columns), grey)
        for encode, syntax in ((jpeg, uid.JPEGBaseline8Bit), (jpeg_lossless, uid.JPEGLosslessSV1)):
            data = compressed([encode(stored_as(picture, 8), 8)], syntax, dataset_of(picture, 8))
            np.testing.assert_array_equal(read(data).pixels, picture)


def test_jpeg_with_zeros_after_its_data_is_not_taken_for_a_damaged_one() -> None:
    stream = jpeg_lossless(stored_as(noisy(255), 8), 8)
    data = compressed([stream[:-2] + b"\0\0\xff\xd9\0\0"], uid.JPEGLosslessSV1, dataset_of(noisy(255), 8))
    np.testing.assert_array_equal(read(data).pixels, noisy(255))


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"progressive": True}, {"optimize": True}])
def test_other_kinds_of_baseline_jpeg_are_read_too(options: dict[str, Any]) -> None:
    stream = encoded(stored_as(asymmetric(), 8), "JPEG", quality=98, **options)
    pixels = read(compressed([stream], uid.JPEGBaseline8Bit, dataset_of(asymmetric(), 8))).pixels
    assert np.abs(pixels.astype(int) - asymmetric()).mean() < 2


def test_jpeg_2000_tile_parts_have_to_have_their_stated_length() -> None:
    stream = jpeg_2000(stored_as(asymmetric(), 8), 8)
    header = parse(stream)
    assert header is not None
    assert (header.rows, header.columns, header.bits, header.levels) == (ROWS, COLUMNS, 8, 2)
    assert is_complete(stream + b"\0\0", header)
    assert not is_complete(without_middle(stream), header)


@pytest.mark.parametrize("header", ["count", "offset", "backwards", "short"])
def test_damaged_run_length_segments_are_errors(header: str) -> None:
    data = bytearray(dicom_file(asymmetric(4095), 12, syntax=uid.RLELossless))
    at = data.index(b"\2\0\0\0\x40\0\0\0")  # two segments, of which the first starts at byte 64
    change = {"count": (0, 15), "offset": (8, 2**31), "backwards": (8, 60), "short": (8, 66)}[header]
    data[at + change[0] : at + change[0] + 4] = change[1].to_bytes(4, "little")
    with pytest.raises(ImageError, match="RLE Lossless pixel data that cannot be decoded"):
        read(bytes(data))


def mutants(data: bytes, count: int) -> Iterator[bytes]:
    """Seeded: bytes changed, mostly in the codestream's header, and pieces taken out."""
    chance = random.Random(5)
    start = data.index(b"\xe0\x7f\x10\0") + 12
    for number in range(count):
        copy = bytearray(data)
        end = min(start + 150, len(copy)) if number % 2 else len(copy)
        for _ in range(chance.choice((1, 2, 5))):
            copy[chance.randrange(start, end)] = chance.choice((0, 255, chance.randrange(256)))
        if number % 5 == 0:
            at = chance.randrange(start, end)
            del copy[at : at + chance.randrange(1, 100)]
        yield bytes(copy)


@pytest.mark.parametrize("kind", [*LOSSLESS, "RLE"])
def test_mutated_files_end_in_silence_as_a_picture_of_the_right_shape_or_an_error(
    kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = noisy(65535)
    if kind == "RLE":
        data = dicom_file(picture, 16, syntax=uid.RLELossless)
    else:
        syntax, encode = LOSSLESS[kind]
        data = compressed([encode(stored_as(picture, 16), 16)], syntax, dataset_of(picture, 16))
    errors = []
    for mutant in mutants(data, 100):
        try:
            assert read(mutant).pixels.shape == (ROWS, COLUMNS)
        except ImageError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert "\n" not in "".join(errors)
    output = capfd.readouterr()
    assert caplog.text + output.out + output.err == ""


# --- fragments and frames


def frames_of(count: int, bits: int = 8) -> list[np.ndarray]:
    return [np.roll(asymmetric(2**bits - 1), 5 * number, axis=1) for number in range(count)]


@pytest.mark.parametrize("offset_table", [False, True])
@pytest.mark.parametrize("fragments", [1, 3])
def test_a_frame_in_several_fragments_is_joined_with_or_without_offset_table(
    offset_table: bool, fragments: int
) -> None:
    frames = frames_of(3)
    streams = [jpeg_lossless(stored_as(frame, 8), 8) for frame in frames]
    options = {"fragments_per_frame": fragments, "has_bot": offset_table}
    single = compressed(streams[:1], uid.JPEGLosslessSV1, dataset_of(frames[0], 8), **options)
    np.testing.assert_array_equal(read(single).pixels, frames[0])
    several = compressed(streams, uid.JPEGLosslessSV1, dataset_of(frames[0], 8), **options)
    for number, frame in enumerate(frames, 1):
        radiograph = read(several, frame=number)
        np.testing.assert_array_equal(radiograph.pixels, frame)
        assert radiograph.decisions.frame == number
        assert radiograph.decisions.notes == ()


def test_the_extended_offset_table_is_followed() -> None:
    frames = frames_of(3)
    streams = [jpeg_ls(stored_as(frame, 8), 8) for frame in frames]
    dataset = dataset_of(frames[0], 8)
    values, offsets, lengths = encapsulate_extended(streams)
    dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    data = compressed(streams, uid.JPEGLSLossless, dataset, has_bot=False)
    assert values in data
    np.testing.assert_array_equal(read(data, frame=2).pixels, frames[1])


def test_a_wrong_offset_table_is_noted_and_not_followed() -> None:
    frames = frames_of(3)
    streams = [jpeg_ls(stored_as(frame, 8), 8) for frame in frames]
    data = bytearray(compressed(streams, uid.JPEGLSLossless, dataset_of(frames[0], 8), has_bot=True))
    table = data.index(b"\xe0\x7f\x10\0") + 12 + 8
    data[table + 4 : table + 8] = (7).to_bytes(4, "little")
    radiograph = read(bytes(data), frame=3)
    np.testing.assert_array_equal(radiograph.pixels, frames[2])
    assert radiograph.decisions.notes == ("offset_table_ignored",)


def test_a_single_pictures_offset_table_that_lists_fragments_does_no_harm() -> None:
    stream = jpeg_lossless(stored_as(asymmetric(), 8), 8)
    half = len(stream) // 4 * 2
    data = compressed([stream[:half], stream[half:]], uid.JPEGLosslessSV1, dataset_of(asymmetric(), 8), has_bot=True)
    data = data.replace(b"\x28\0\x08\0IS\x02\x002 ", b"\x28\0\x08\0IS\x02\x001 ")
    np.testing.assert_array_equal(read(data).pixels, asymmetric())


def test_more_or_fewer_frames_than_declared_are_errors() -> None:
    streams = [jpeg_lossless(stored_as(frame, 8), 8) for frame in frames_of(3)]
    for declared, reason in ((1, "declares one frame"), (2, "but its pixel data hold 3"), (5, "pixel data hold 3")):
        dataset = dataset_of(asymmetric(), 8)
        dataset.NumberOfFrames = 1
        data = compressed(streams, uid.JPEGLosslessSV1, dataset, has_bot=False)
        data = data.replace(b"\x28\0\x08\0IS\x02\x003 ", b"\x28\0\x08\0IS\x02\x00%d " % declared)
        with pytest.raises(ImageError, match=reason):
            read(data, frame="first")


NATIVE = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name.replace(" ", ""))
@pytest.mark.parametrize("bits", [8, 12])
def test_native_frames_follow_each_other_without_padding(syntax: uid.UID, bits: int) -> None:
    frames = frames_of(4, bits)  # of an odd number of pixels
    dataset = dataset_of(frames[0], bits)
    big = syntax == uid.ExplicitVRBigEndian
    values = np.stack(frames).astype("u1" if bits == 8 else ">u2" if big else "<u2").tobytes()
    if big and bits == 8:  # as words of two pixels
        values = np.frombuffer(values, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.PixelData, dataset.NumberOfFrames = values, 4
    dataset.file_meta.TransferSyntaxUID = syntax
    data = saved(dataset)
    for wanted, expected in (("first", 0), ("middle", 1), (4, 3)):
        radiograph = read(data, frame=wanted)
        np.testing.assert_array_equal(radiograph.pixels, frames[expected])
        assert radiograph.decisions.frame == expected + 1
    with pytest.raises(ImageError, match=r"has 4 frames, and nothing says which is meant; set dicom\.frame"):
        read(data)
    with pytest.raises(ImageError, match=r"has 4 frames, so dicom\.frame: 5 is none of them"):
        read(data, frame=5)


def test_run_length_frames_are_read_one_by_one() -> None:
    frames = frames_of(3, 12)
    dataset = dataset_of(frames[0], 12)
    dataset.PixelData, dataset.NumberOfFrames = np.stack(frames).astype("<u2").tobytes(), 3
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read(saved(dataset), frame="middle").pixels, frames[1])


def test_missing_frames_of_native_data_are_an_error_and_the_others_can_be_read() -> None:
    dataset = dataset_of(asymmetric(), 8, NumberOfFrames=3)
    np.testing.assert_array_equal(read(saved(dataset), frame="first").pixels, asymmetric())
    with pytest.raises(ImageError, match=f"where the picture needs {3 * ROWS * COLUMNS}: the file is cut off"):
        read(saved(dataset), frame=3)


def test_single_pictures_do_not_mind_which_frame_is_configured() -> None:
    radiograph = read(dicom_file(asymmetric(), 8), frame=7)
    np.testing.assert_array_equal(radiograph.pixels, asymmetric())
    assert radiograph.decisions.frame is None


def test_objects_that_describe_each_frame_apart_are_refused() -> None:
    for sop_class in (uid.EnhancedXAImageStorage, uid.BreastTomosynthesisImageStorage):
        data = dicom_file(asymmetric(), 8, SOPClassUID=sop_class, NumberOfFrames=2)
        with pytest.raises(ImageError, match=f"is a {sop_class.name} object, which states grey values"):
            read(data, frame="first")
