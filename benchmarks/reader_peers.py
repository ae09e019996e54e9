"""Other ways to read a radiograph: bare decoders, a plain loop, MONAI and torchxrayvision."""

import importlib.util
import sys
import types
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import openjpeg
import pydicom
from monai import transforms as mt
from PIL import Image
from pydicom.encaps import get_frame

from segpipe.config import Preprocess

SIZE = 512
Reader = Callable[[Path], np.ndarray]


def _file(decode: Callable[[bytes], np.ndarray]) -> Reader:
    return lambda path: decode(path.read_bytes())


def _frame(decode: Callable[[bytes], np.ndarray]) -> Reader:
    """Of a DICOM file: parse it with pydicom, decode the codestream."""
    return lambda path: decode(get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1))


def _opencv(flags: int) -> Callable[[bytes], np.ndarray]:
    return lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def _pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)))


def _pillow_jpeg_quarter(data: bytes) -> np.ndarray:
    image = Image.open(BytesIO(data))
    image.draft("L", (image.width // 4, image.height // 4))
    return np.asarray(image)


def _pillow_j2k_half(data: bytes) -> np.ndarray:
    image = Image.open(BytesIO(data))
    image.reduce = 1
    return np.asarray(image)


def _native(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    return np.frombuffer(dataset.PixelData, "<u2", dataset.Rows * dataset.Columns).reshape(dataset.Rows, -1)


def _rle(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    return np.frombuffer(imagecodecs.dicomrle_decode(frame, np.dtype("<u2")), "<u2").reshape(dataset.Rows, -1)


def pixel_array(path: Path) -> np.ndarray:
    """What pydicom makes of a file, with the decoder of its choice."""
    return pydicom.dcmread(path).pixel_array


def bare_decoders() -> dict[str, dict[str, Reader]]:
    """Format -> every decoder at hand; files are opened and DICOM headers parsed, nothing else is done."""
    jpeg8, jpeg2k = imagecodecs.jpeg8_decode, lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1)
    return {
        "PNG": {
            "OpenCV": _file(_opencv(cv2.IMREAD_UNCHANGED)),
            "imagecodecs": _file(imagecodecs.png_decode),
            "Pillow": _file(_pillow),
        },
        "JPEG": {
            "OpenCV": _file(_opencv(cv2.IMREAD_GRAYSCALE)),
            "imagecodecs": _file(jpeg8),
            "Pillow": _file(_pillow),
        },
        "JPEG 1/4": {
            "OpenCV": _file(_opencv(cv2.IMREAD_REDUCED_GRAYSCALE_4)),
            "Pillow": _file(_pillow_jpeg_quarter),
        },
        "native": {"numpy": _native, "pydicom": pixel_array},
        "RLE": {"imagecodecs": _rle, "pydicom": pixel_array},
        "JPEG lossless": {
            "imagecodecs jpeg8": _frame(jpeg8),
            "imagecodecs ljpeg": _frame(imagecodecs.ljpeg_decode),
            "pydicom": pixel_array,
        },
        "JPEG-LS": {"imagecodecs": _frame(imagecodecs.jpegls_decode), "pydicom": pixel_array},
        "JPEG 2000": {
            "imagecodecs": _frame(jpeg2k),
            "openjpeg": _frame(openjpeg.decode),
            "Pillow": _frame(_pillow),
        },
        "JPEG 2000 1/2": {"Pillow": _frame(_pillow_j2k_half)},
        "JPEG in DICOM": {
            "imagecodecs": _frame(jpeg8),
            "OpenCV": _frame(_opencv(cv2.IMREAD_GRAYSCALE)),
            "Pillow": _frame(_pillow),
        },
    }


def shrink(picture: np.ndarray) -> np.ndarray:
    """By area, to the size of a network's input."""
    return cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def plain_loop(path: Path) -> np.ndarray:
    """The loop one would write by hand: read, shrink, smallest value to 0 and largest to 1."""
    dicom = path.suffix == ".dcm"
    picture = shrink(pixel_array(path) if dicom else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).astype(np.float32)
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low)


def monai_pipeline() -> Reader:
    """MONAI's own transforms for the same job."""
    low, high = Preprocess().percentiles
    steps = [
        mt.EnsureChannelFirst(),
        mt.Resize((SIZE, SIZE), mode="area"),
        mt.ScaleIntensityRangePercentiles(low, high, 0, 1, clip=True),
    ]
    dicom, raster = (
        mt.Compose([mt.LoadImage(reader=reader, image_only=True), *steps]) for reader in ("PydicomReader", "PILReader")
    )
    return lambda path: (dicom if path.suffix == ".dcm" else raster)(path)


def torchxrayvision_reader() -> Reader | None:
    """Its ``load_image`` and what its ``XRayResizer`` does with engine cv2; None where it is not installed.

    Its file ``utils.py`` is loaded by itself, for the package as a whole wants torchvision. Where scikit-image is
    missing, Pillow stands in for its ``io.imread``, which would call Pillow anyway.
    """
    package = importlib.util.find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        return None
    if importlib.util.find_spec("skimage") is None:
        stand_in = types.ModuleType("skimage")
        stand_in.io = types.SimpleNamespace(imread=lambda path: np.asarray(Image.open(path)))  # type: ignore[attr-defined]
        sys.modules["skimage"] = stand_in
    spec = importlib.util.spec_from_file_location("_xrv", Path(package.submodule_search_locations[0]) / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    return lambda path: shrink(utils.load_image(str(path))[0])[None].astype(np.float32)
