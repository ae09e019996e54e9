"""The files that ``readers.py`` reads: radiographs where there are any, else phantoms, one folder for all formats."""

from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pydicom
from harness import shared
from pydicom import uid
from pydicom.encaps import encapsulate

from segpipe.demo.render import phantom_arrays

SHAPE = (2048, 1792)
BITS = 12
SYNTAXES = {
    "RG3_UNCR": uid.ExplicitVRLittleEndian,
    "RG3_RLE": uid.RLELossless,
    "RG3_JPLL": uid.JPEGLosslessSV1,
    "RG3_JLSL": uid.JPEGLSLossless,
    "RG3_J2KR": uid.JPEG2000Lossless,
    "xrv_cr": uid.JPEGBaseline8Bit,
}
ENCODERS: dict[uid.UID, Callable[[np.ndarray], bytes]] = {
    uid.JPEGLosslessSV1: lambda stored: imagecodecs.ljpeg_encode(stored, bitspersample=BITS),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: lambda stored: imagecodecs.jpeg2k_encode(
        stored, reversible=True, codecformat="j2k", bitspersample=BITS, numthreads=1
    ),
    uid.JPEGBaseline8Bit: lambda stored: imagecodecs.jpeg8_encode(stored, level=95),
}


def noisy_phantom(seed: int, bits: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A phantom with the noise of a detector, which is what takes a radiograph's bytes; uint8 or uint16."""
    pixels, _ = phantom_arrays(seed, shape)
    noise = np.random.default_rng(seed).normal(0, 0.004, shape)
    return np.rint(np.clip(pixels + noise, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def png_files(folder: Path) -> list[Path]:
    """8-bit 1024 x 1024 radiographs."""
    found = shared("nih-25-unlabelled", "*.png")[:8]
    return found or [_written(folder / f"{seed}.png", noisy_phantom(seed, 8, (1024, 1024))) for seed in range(4)]


def deep_png_files(folder: Path) -> list[Path]:
    """16-bit phantoms."""
    return [_written(folder / f"deep{seed}.png", noisy_phantom(seed, 16)) for seed in range(2)]


def jpeg_files(folder: Path) -> list[Path]:
    """8-bit grey JPEG phantoms of quality 95."""
    return [_written(folder / f"{seed}.jpg", noisy_phantom(seed, 8)) for seed in range(2)]


def dicom_files(folder: Path, name: str) -> list[Path]:
    """The radiograph of this name, or a phantom in its transfer syntax."""
    return shared("radiographs-dicom", f"{name}.dcm") or [_dicom_phantom(folder / f"{name}.dcm", SYNTAXES[name])]


def _written(path: Path, pixels: np.ndarray) -> Path:
    cv2.imwrite(str(path), pixels)
    return path


def _dicom_phantom(path: Path, syntax: uid.UID) -> Path:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else BITS
    stored = noisy_phantom(0, bits)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[path.name])
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = *stored.shape, 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * stored.itemsize, bits, bits - 1
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax in ENCODERS:
        dataset.PixelData = encapsulate([ENCODERS[syntax](stored)])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax == uid.RLELossless:
        dataset.compress(syntax)
    dataset.save_as(path, enforce_file_format=True)
    return path
