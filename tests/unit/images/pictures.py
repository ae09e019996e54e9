"""Hand-made pictures and DICOM files: asymmetric and not square, so that no flip or transposition passes."""

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

ROWS, COLUMNS = 37, 53
SECRET = "PHICANARY"


def asymmetric(maximum: int = 255, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """A picture with dark air and a bright bone at the upper left that uses 0 and ``maximum``; int64."""
    y, x = np.mgrid[:rows, :columns]
    picture = np.rint((3 * x + 5 * y) / (3 * columns + 5 * rows) * 0.6 * maximum).astype(np.int64)
    picture[2:9, 3:7] = maximum
    picture[-3:, -11:] = 0
    return picture


def with_secrets(dataset: Dataset) -> None:
    dataset.PatientName = f"{SECRET}^NAME"
    dataset.PatientID = f"{SECRET}-ID"
    dataset.StudyDescription = f"{SECRET} STUDY"
    dataset.PatientBirthDate = "19700101"


def dataset_of(stored: np.ndarray, bits: int, signed: bool = False, allocated: int = 0, **tags: Any) -> Dataset:
    """A DX data set of stored values; ``tags`` are set afterwards, None deletes."""
    allocated = allocated or (8 if bits <= 8 else 16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    with_secrets(dataset)
    dataset.Modality = "DX"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()
    if len(dataset.PixelData) % 2:
        dataset.PixelData += b"\0"
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def file_of(dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian, plugin: str = "") -> bytes:
    """The data set as a file in a transfer syntax that the installed plugins can write."""
    syntax = uid.UID(syntax)
    codestream = _encode(dataset, syntax)
    if codestream is not None:
        dataset.PixelData = encapsulate([codestream])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax.is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    else:
        if syntax == uid.ExplicitVRBigEndian and dataset.BitsAllocated == 16:
            dataset.PixelData = swapped(dataset.PixelData)
        for sequence in ("ModalityLUTSequence", "VOILUTSequence"):
            for item in dataset.get(sequence) or ():
                if syntax == uid.ExplicitVRBigEndian:
                    item.LUTData = swapped(item.LUTData)
        dataset.file_meta.TransferSyntaxUID = syntax
    return saved(dataset)


def _encode(dataset: Dataset, syntax: str) -> bytes | None:
    """The codestream of a syntax that pydicom's plugins do not write; None where they do."""
    signed = dataset.get("PixelRepresentation") == 1
    if syntax == uid.JPEGBaseline8Bit:
        jpeg = BytesIO()
        Image.fromarray(_words(dataset)).save(jpeg, "JPEG", quality=98)
        return jpeg.getvalue()
    if syntax == uid.JPEGLosslessSV1:
        words = _words(dataset) & (2**dataset.BitsStored - 1)
        words = words.astype(np.uint8 if dataset.BitsStored == 8 else np.uint16)
        return imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=dataset.BitsStored)
    if syntax == uid.JPEGLSLossless and signed:  # of the allocated bits
        return imagecodecs.jpegls_encode(_words(dataset))
    return None


def _words(dataset: Dataset) -> np.ndarray:
    dtype = np.dtype(f"u{dataset.BitsAllocated // 8}")
    words = np.frombuffer(dataset.PixelData, dtype.newbyteorder("<"), count=dataset.Rows * dataset.Columns)
    return words.reshape(dataset.Rows, dataset.Columns).astype(dtype)


def saved(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def swapped(words: bytes) -> bytes:
    return np.frombuffer(words, "<u2").astype(">u2").tobytes()


def dicom_file(
    stored: np.ndarray, bits: int, signed: bool = False, syntax: str = uid.ExplicitVRLittleEndian, **tags: Any
) -> bytes:
    return file_of(dataset_of(stored, bits, signed, **tags), syntax)


def lut_item(first: int, entries: np.ndarray, bits: int) -> Dataset:
    """An item of a Modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def encoded(picture: np.ndarray, format_: str, **options: Any) -> bytes:
    """An array as the bytes of a raster file, by Pillow."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format_, **options)
    return buffer.getvalue()
