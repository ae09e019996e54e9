"""Getting a file's bytes and telling its format from them, within limits; and whether it changed."""

import hashlib
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from segpipe.errors import ImageError

Format = Literal["DICOM", "PNG", "JPEG", "TIFF", "BMP", "GIF", "NIfTI"]

MAX_DECODED_BYTES = 150_000_000
"""Largest picture that is decoded, in bytes of all its samples: at one byte ten times the largest detector."""

MAX_FILE_BYTES = 2**30
"""Largest file that is read into memory."""

SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\x1f\x8b", "NIfTI"),  # gzip: nifti.py looks inside
)

NOT_READ = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"RIFF", "a WebP or another RIFF file"),
    (b"\0\0\0\x0cjP  ", "a bare JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000 codestream"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"NRRD", "an NRRD file"),
    (b"ObjectType", "a MetaImage file"),
    (b"8BPS", "a Photoshop file"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the real file with `git lfs pull`"),
    (b"/annex/", "a git-annex pointer; fetch the real file with `git annex get`"),
    (b"<", "an XML, HTML or SVG text"),
)

VALUE_REPRESENTATIONS = frozenset(b"AE AS AT CS DA DS DT IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split())


def read_bytes(path: Path) -> bytes:
    """Return the whole content of a regular, non-empty file of at most ``MAX_FILE_BYTES``.

    Raises ImageError for everything else; the text does not name the path.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise ImageError(f"is {kind}, not a file; name the image file itself")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(f"has {status.st_size} bytes, more than the {MAX_FILE_BYTES} that one image may have")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("file not found; check the path, and for a link what it points to") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ImageError(f"cannot be opened ({reason}); check the path and its permissions") from None
    if not data:
        raise ImageError("is empty (0 bytes), probably an interrupted copy; copy it again")
    return data


def check_size(rows: int, columns: int, pixel_bytes: int = 1) -> None:
    """Refuse, before anything is allocated, a declared size that no radiograph has (ImageError).

    ``pixel_bytes`` is what one pixel takes when decoded, all channels together.
    """
    if rows < 1 or columns < 1:
        raise ImageError(f"declares {rows} rows and {columns} columns, so there is no picture in it")
    if rows * columns * pixel_bytes > MAX_DECODED_BYTES:
        size = f"{pixel_bytes} byte{'s' if pixel_bytes > 1 else ''} a pixel"
        raise ImageError(
            f"declares {rows} x {columns} pixels, more than the {MAX_DECODED_BYTES // pixel_bytes} that are decoded at "
            f"{size}; its header is damaged, or it has to be made smaller first"
        )


def sniff(data: bytes) -> Format:
    """Return the format by content; the file's name is never looked at. Raises ImageError for unknown ones."""
    if data[128:132] == b"DICM" or data[:4] == b"DICM":
        return "DICOM"
    for signature, format_ in SIGNATURES:
        if data.startswith(signature):
            return format_
    if is_nifti(data):
        return "NIfTI"
    if _is_bare_dicom(data):
        return "DICOM"
    if b"PNG" in data[:8] or b"IHDR" in data[:40]:
        raise ImageError("is a PNG with a damaged signature, as text-mode transfers leave it; copy it again")
    what = next((what for signature, what in NOT_READ if data.lstrip()[:64].startswith(signature)), None)
    raise ImageError(
        f"is {what or 'in no known picture format'}; "
        "segpipe reads DICOM, PNG, JPEG, TIFF, BMP, GIF and NIfTI, whatever the file's suffix"
    )


def is_nifti(data: bytes) -> bool:
    """Whether uncompressed bytes start with a NIfTI-1 or NIfTI-2 header of either byte order."""
    size = data[:4]
    one = size in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and data[344:348] in (b"n+1\0", b"ni1\0")
    two = size in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and data[4:8] in (b"n+2\0", b"ni2\0")
    return one or two


def _is_bare_dicom(data: bytes) -> bool:
    """Whether the bytes look like a data set without preamble: a first element of group 0002 or 0008."""
    if len(data) < 12 or data[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    if data[4:6] in VALUE_REPRESENTATIONS:
        return True
    implicit_length = int.from_bytes(data[4:8], "little")
    return data[0] != 0 and implicit_length <= len(data) - 8


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python warnings: those of decoders may quote header text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Whether a file changed: by its size and time, or by the hash of its content.

MISSING = "missing"


def file_stamp(path: Path | str) -> str:
    """Size and modification time: what tells a changed file without reading it."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every file of an archive, and a Path costs more than that
    except OSError:
        return MISSING
    return f"{status.st_size}-{status.st_mtime_ns}"


def hash_file(path: Path) -> str:
    """SHA-256 of a file, which is read in pieces; other threads run meanwhile. OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
