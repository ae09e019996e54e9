"""Small files that would fill the memory or keep a decoder busy."""

import gzip
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from segpipe.errors import ImageError
from segpipe.files import source
from segpipe.images.read import read_radiograph
from tests.unit.images.tiff_files import tiff

LARGE = 12_000
ONE_ROW = np.zeros((1, 16), np.uint8)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")


def png(size: int, depth: int, colour: int, pixels: bytes, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp(size: int, bits: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, size, size, 1, bits, 0, 0, 0, 0, 0, 0) + bytes(99)


def gif(screen: int, frame: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0xF7, 0, 0) + bytes(768)
    return head + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x08\x03\x00\x03\x0a\0;"


def jpeg(size: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(ONE_ROW).save(buffer, "JPEG")
    at = buffer.getvalue().index(b"\xff\xc0") + 5
    return buffer.getvalue()[:at] + struct.pack(">HH", size, size) + buffer.getvalue()[at + 4 :]


def nifti(size: int, dtype: type, packed: bool) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape((size, size))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    data = bytes(header.binaryblock) + bytes(99)
    return gzip.compress(data) if packed else data


TOO_LARGE = {
    "PNG": png(60_000, 8, 0, zlib.compress(b"")),
    "PNG of 16 bits": png(LARGE, 16, 0, zlib.compress(b"")),
    "PNG of colour": png(LARGE, 8, 2, zlib.compress(b"")),
    "PNG of a palette": png(LARGE, 8, 3, zlib.compress(b""), chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0")),
    "TIFF": tiff(ONE_ROW, 8, tags={256: 60_000, 257: 60_000}),
    "TIFF of 16 bits": tiff(ONE_ROW, 16, tags={256: LARGE, 257: LARGE}),
    "TIFF of colour": tiff(ONE_ROW, 8, 2, tags={256: LARGE, 257: LARGE, 277: 3}),
    "BMP": bmp(60_000, 8),
    "BMP of colour": bmp(LARGE, 24),
    "GIF screen": gif(LARGE, 1),
    "GIF frame": gif(65_535, 65_535),
    "JPEG": jpeg(60_000),
    "NIfTI": nifti(30_000, np.uint8, False),
    "NIfTI in gzip": nifti(30_000, np.uint8, True),
    "NIfTI of floats": nifti(LARGE, np.float32, False),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_declared_size_is_refused_before_anything_is_allocated(name: str) -> None:
    with pytest.raises(ImageError, match=r"declares .* (pixels|decoded)"):
        read_radiograph(TOO_LARGE[name])


def test_the_limit_counts_all_bytes_of_a_pixel() -> None:
    source.check_size(7500, 10_000, 2)
    with pytest.raises(
        ImageError, match="7500 x 10001 pixels, more than the 75000000 that are decoded at 2 bytes a pixel"
    ):
        source.check_size(7500, 10_001, 2)


def test_text_and_profiles_that_expand_are_not_expanded() -> None:
    bomb = b"x\0\0" + zlib.compress(bytes(50_000_000))
    pixels = zlib.compress(b"".join(b"\0" + bytes([line] * 16) for line in range(16)))
    for kind in (b"zTXt", b"iCCP", b"iTXt"):
        assert read_radiograph(png(16, 8, 0, pixels, chunk(kind, bomb))).pixels.max() == 15


def test_pixel_data_that_expand_to_more_than_the_pixels_are_refused() -> None:
    palette = chunk(b"PLTE", bytes(6))
    for colour, extra in ((0, b""), (3, palette)):
        with pytest.raises(ImageError, match="far more than its pixels"):
            read_radiograph(png(16, 8, colour, zlib.compress(bytes(5_000_000)), extra))
    exact = zlib.compress(bytes(800 * 801))
    assert read_radiograph(png(800, 8, 0, exact)).pixels.shape == (800, 800)


def test_a_png_of_very_many_parts_is_refused() -> None:
    with pytest.raises(ImageError, match="more than 100000 parts"):
        read_radiograph(png(16, 8, 0, zlib.compress(b""), chunk(b"IDAT", b"") * 100_001))


def test_no_more_of_a_gzip_is_inflated_than_is_needed() -> None:
    image = nibabel.Nifti1Image(np.arange(35, dtype=np.uint8).reshape(7, 5), np.eye(4)).to_bytes()
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = stream.compress(image) + b"".join(stream.compress(bytes(2**20)) for _ in range(64))
    assert read_radiograph(bomb + stream.flush()).pixels.shape == (5, 7)


CHILD = """
import sys
from pathlib import Path
from segpipe.images.read import read_radiograph
print(read_radiograph(Path(sys.argv[1]), invert=True).pixels.shape)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_largest_pictures_that_are_decoded_stay_below_500_megabytes(tmp_path: Path) -> None:
    stream = zlib.compressobj(1)
    zeros = b"".join(stream.compress(bytes(10_000_000)) for _ in range(15)) + stream.flush()
    tags = {256: 10_000, 257: 7500, 278: 7500, 259: 8}
    file = tmp_path / "large"
    file.write_bytes(tiff(ONE_ROW, 16, 0, tags=tags, compress=lambda _: zeros))
    out = subprocess.run([sys.executable, "-c", CHILD, str(file)], capture_output=True, text=True, check=True).stdout
    shape, kilobytes = out.splitlines()
    assert shape == "(7500, 10000)"
    assert int(kilobytes) < 500_000
