"""What holds for any picture, window and damage."""

from io import BytesIO
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from segpipe.errors import ImageError
from segpipe.images.dicom.accept import Words
from segpipe.images.dicom.greys import window
from segpipe.images.read import read_radiograph
from segpipe.masks.reference import read_reference

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PICTURES = arrays(st.sampled_from([np.uint8, np.uint16]), array_shapes(min_dims=2, max_dims=2, max_side=12))
NUMBERS = st.floats(-1e5, 1e5)


def encoded(picture: np.ndarray, format_: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format_)
    return buffer.getvalue()


def dicom_file(picture: np.ndarray) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = uid.ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME1", 1
    dataset.Rows, dataset.Columns = picture.shape
    bits = picture.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    dataset.PixelData = picture.tobytes() + b"\0" * (picture.nbytes % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@FEW
@given(PICTURES, st.sampled_from(["PNG", "TIFF"]))
def test_lossless_rasters_come_back_unchanged(picture: np.ndarray, format_: str) -> None:
    read = read_radiograph(encoded(picture, format_)).pixels
    np.testing.assert_array_equal(read, picture)
    assert read.dtype == picture.dtype


@FEW
@given(PICTURES)
def test_inverting_by_the_sheet_is_the_mirror_of_not_inverting(picture: np.ndarray) -> None:
    for data in (encoded(picture, "PNG"), dicom_file(picture)):
        plain, mirrored = (read_radiograph(data, invert=invert) for invert in (False, True))
        np.testing.assert_array_equal(plain.pixels, picture)
        np.testing.assert_array_equal(mirrored.pixels, np.iinfo(picture.dtype).max - picture)
        assert plain.value_range == mirrored.value_range


@FEW
@given(
    NUMBERS, st.floats(1, 1e5), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]), st.lists(NUMBERS, min_size=2)
)
def test_windows_never_fall_and_stay_within_zero_and_one(
    centre: float, width: float, function: str, values: list[float]
) -> None:
    result = window(np.sort(np.array(values)), centre, width, function)
    assert (np.diff(result) >= 0).all()
    assert result.min() >= 0
    assert result.max() <= 1


@FEW
@given(st.sampled_from([8, 16]), st.data())
def test_stored_values_survive_any_packing_into_words(allocated: int, data: st.DataObject) -> None:
    stored = data.draw(st.integers(1, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    signed = data.draw(st.booleans())
    words = Words(allocated, stored, high, signed)
    low, top = words.range
    value = data.draw(st.integers(int(low), int(top)))
    rest = data.draw(st.integers(0, 2**allocated - 1)) & words.unused_mask
    word = ((value & ((1 << stored) - 1)) << (high + 1 - stored)) | rest
    assert words.values()[word] == value


@FEW
@given(PICTURES, st.sampled_from(["PNG", "TIFF", "BMP", "GIF", "JPEG", "DICOM"]), st.data())
def test_damage_anywhere_ends_as_a_picture_or_an_image_error(
    picture: np.ndarray, format_: str, data: st.DataObject
) -> None:
    eight = picture.astype(np.uint8)
    file = bytearray(dicom_file(picture) if format_ == "DICOM" else encoded(eight, format_))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(len(file) // 2, len(file)))]
    try:
        radiograph = read_radiograph(bytes(file))
    except ImageError:
        return
    assert radiograph.pixels.ndim == 2
    assert radiograph.pixels.dtype in (np.uint8, np.uint16, np.float32)


@FEW
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\0" * 128 + b"DICM", b"II*\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]),
)
def test_arbitrary_bytes_end_as_an_image_error(tail: bytes, start: bytes) -> None:
    try:
        read_radiograph(start + tail)
    except ImageError:
        return


@FEW
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 5)))
def test_every_label_goes_to_exactly_its_classes(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.png"
    path.write_bytes(encoded(labels, "PNG"))
    classes = {"odd": [1, 3, 5], "low": [1, 2], "rest": [4]}
    bits = read_reference({"": path}, classes, (labels.shape[0], labels.shape[1])).bits
    for number, values in enumerate(classes.values()):
        np.testing.assert_array_equal(bits >> number & 1, np.isin(labels, values))
