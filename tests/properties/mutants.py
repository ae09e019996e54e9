"""Valid small files, and what is left of them after an accident: the same seed, the same bytes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydicom import uid

from tests.unit.images.hostile_files import nifti, packed
from tests.unit.images.pictures import asymmetric, dataset_of, dicom_file, encoded, file_of

SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG": uid.JPEGBaseline8Bit,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG-LS near": uid.JPEGLSNearLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}
STEPS = 4


def valid_files() -> dict[str, bytes]:
    """A small picture in every format, its header full of secrets where it has one."""
    grey, words, label = asymmetric().astype(np.uint8), asymmetric(4095), (asymmetric() > 150).astype(np.uint8)
    files = {f"DICOM {name}": dicom_file(words, 12, syntax=syntax) for name, syntax in SYNTAXES.items()
             if name not in ("JPEG", "JPEG-LS near")}  # fmt: skip
    files["DICOM JPEG"] = dicom_file(grey, 8, syntax=uid.JPEGBaseline8Bit)
    files["DICOM 8 bits"] = dicom_file(grey, 8)
    files["DICOM signed"] = dicom_file(words - 2048, 16, True, WindowCenter=0, WindowWidth=900)
    files["DICOM LUT"] = file_of(dataset_of(words, 12, RescaleSlope=2, RescaleIntercept=-9, PixelSpacing=[0.2, 0.2]))
    for format_ in ("PNG", "JPEG", "TIFF", "BMP", "GIF"):
        files[format_] = encoded(grey, format_)
    files["PNG 16 bits"] = encoded(words.astype(np.uint16), "PNG")
    files["PNG colour"] = encoded(np.stack([grey] * 3, axis=2), "PNG")
    files["TIFF LZW"] = encoded(grey, "TIFF", compression="tiff_lzw")
    files["TIFF deflate"] = encoded(words.astype(np.uint16), "TIFF", compression="tiff_adobe_deflate")
    files["TIFF JPEG"] = encoded(grey, "TIFF", compression="jpeg")
    files["JPEG progressive"] = encoded(np.stack([grey] * 3, axis=2), "JPEG", progressive=True)
    files["NIfTI"] = nifti(*grey.shape) + grey.tobytes()
    files["NIfTI.gz"] = packed(files["NIfTI"])
    files["mask PNG"] = encoded(label * 255, "PNG")
    files["mask GIF"] = encoded(label, "GIF")
    return files


def mutant(files: Mapping[str, bytes], seed: int) -> tuple[str, bytes]:
    """The name of a file and what one to four accidents made of it; all follows from the seed."""
    random = np.random.default_rng(seed)
    names = sorted(files)
    name = names[int(random.integers(len(names)))]
    data = bytearray(files[name])
    for _ in range(int(random.integers(1, STEPS + 1))):
        accident = ACCIDENTS[int(random.integers(len(ACCIDENTS)))]
        data = accident(data, random, files[names[int(random.integers(len(names)))]]) or bytearray(b"\0")
    return name, bytes(data)


def _truncate(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    return data[: int(random.integers(1, len(data) + 1))]


def _flip(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    for at in random.integers(len(data), size=int(random.integers(1, 30))):
        data[at] ^= 1 << int(random.integers(8))
    return data


def _flip_head(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    """Where formats keep sizes and kinds, and DICOM its elements."""
    for at in random.integers(min(len(data), 1200), size=int(random.integers(1, 8))):
        data[at] = int(random.integers(256))
    return data


def _splice(data: bytearray, random: np.random.Generator, other: bytes) -> bytearray:
    at, start = int(random.integers(len(data))), int(random.integers(len(other)))
    return data[:at] + other[start:]


def _length(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    """Two or four bytes that are read as a length, more likely where a length stands: as a limit of some integer."""
    size = int(random.choice([2, 4]))
    value = int(random.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]))
    at = int(random.integers(len(data)))
    order = "little" if random.integers(2) else "big"
    data[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return data


def _repeat(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    start, end = sorted(int(at) for at in random.integers(len(data), size=2))
    return data[:end] + data[start:end] * int(random.integers(1, 4)) + data[end:]


def _blank(data: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    start = int(random.integers(len(data)))
    end = min(len(data), start + int(random.integers(1, 600)))
    data[start:end] = bytes([int(random.choice([0, 255]))]) * (end - start)
    return data


Accident = Callable[[bytearray, np.random.Generator, bytes], bytearray]
ACCIDENTS: Sequence[Accident] = (_truncate, _flip, _flip_head, _splice, _length, _repeat, _blank)
