"""NIfTI-1 and NIfTI-2 with one slice, as some archives ship radiographs and most ship masks."""

import logging
import math
import zlib
from io import BytesIO
from typing import Any

import numpy as np

from segpipe.errors import ImageError
from segpipe.files.source import check_size, is_nifti
from segpipe.images.types import PLAUSIBLE_MM, Decisions, Radiograph

HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
MAX_VOXEL_OFFSET = 2**24
INPUT_STEP, OUTPUT_STEP = 2**18, 2**22
MAX_REST = 2**20
"""What may follow the bytes that are needed, so that the checksum at the end is reached; bombs are left alone."""


def read_nifti(data: bytes, invert: bool | None = None) -> Radiograph:
    """Read a 2-D NIfTI as a grey picture; .nii or .nii.gz.

    The first axis of the file is the column (x), the second the row (y), without flips: the picture
    that SimpleITK shows. Whole numbers in 0..65535 come out as uint8 or uint16, others as float32.
    Only uint8 and uint16 files declare a range; for other types it is the range found, and noted.
    """
    values, header = load(data)
    notes: list[str] = []
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        values = _without_non_finite(values, notes)
    pixels, range_ = _as_pixels(values, notes)
    if invert:
        ends = range_[0] + range_[1]
        # of whole numbers the sum may not fit, but every difference does, and unsigned numbers wrap around
        pixels = pixels.dtype.type(ends if pixels.dtype.kind == "f" else ends % 2 ** (8 * pixels.itemsize)) - pixels
    row_mm, column_mm = _spacing(header, notes)
    decisions = Decisions(
        format="NIfTI",
        bits_stored=int(header.get_data_dtype().itemsize * 8),
        photometric_interpretation=str(header.get_data_dtype().name),
        inverted=bool(invert),
        invert_source="none" if invert is None else "sheet",
        spacing_row_mm=row_mm,
        spacing_column_mm=column_mm,
        spacing_source="unknown" if row_mm is None else "NIfTI",
        notes=tuple(notes),
    )
    return Radiograph(np.ascontiguousarray(pixels), range_, None, decisions)


def load(data: bytes) -> tuple[np.ndarray, Any]:
    """Return the scaled values as (rows, columns) in the machine's byte order, and nibabel's header.

    Raises ImageError for volumes, complex and colour types, pairs of files, and data that end too early.
    """
    import nibabel

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)
    compressed = data.startswith(b"\x1f\x8b")
    head = bytes(_inflate(data, HEADER_BYTES)) if compressed else data[:HEADER_BYTES]
    if not is_nifti(head):
        raise ImageError("is compressed with gzip, but holds no NIfTI; decompress it first")
    kind = nibabel.Nifti1Header if head[0] == 92 or head[3] == 92 else nibabel.Nifti2Header
    try:
        header = kind.from_fileobj(BytesIO(head), check=False)
        needed = _check_header(header)
    except ImageError:
        raise
    except Exception:  # nibabel's for each field that it cannot interpret
        raise ImageError("is a NIfTI whose header is damaged or cut off; copy it again") from None
    content = _inflate(data, needed, whole=True) if compressed else data
    if len(content) < needed:
        raise ImageError(f"is a NIfTI with {len(content)} of {needed} bytes: it is cut off; copy it again")
    # the first axis runs fastest in the file, so that its lines are the picture's rows
    columns, rows = header.get_data_shape()[:2]
    dtype = header.get_data_dtype()
    values = np.frombuffer(content, dtype, rows * columns, int(header["vox_offset"])).reshape(rows, columns)
    slope, inter = header.get_slope_inter()
    if slope is not None and (slope, inter) != (1, 0):
        values = values.astype(np.float64)
        values *= slope
        values += inter
    return values.astype(dtype.newbyteorder("=") if values.dtype == dtype else np.float64, copy=False), header


def _inflate(data: bytes, limit: int, whole: bool = False) -> bytearray:
    """The first ``limit`` bytes of a gzip file's content, fewer where there are fewer.

    With ``whole`` reading goes on to the checksum at the end, for MAX_REST bytes (RFC 1952, 2.3.1). Raises
    ImageError for damage, and with ``whole`` for a file without its end.
    """
    content = bytearray()
    goal = limit + (MAX_REST if whole else 0)
    stream, pending, at = _gzip_stream(), b"", 0
    try:
        while len(content) < goal:
            if not pending:
                pending = data[at : at + INPUT_STEP]
                at += INPUT_STEP
            if stream.eof:  # a file may be several streams in a row (2.2); what else follows is not read
                if not pending.startswith(b"\x1f\x8b"):
                    break
                stream = _gzip_stream()
            piece = stream.decompress(pending, min(OUTPUT_STEP, goal - len(content)))
            if not pending and not piece:
                break
            content += piece
            pending = stream.unused_data if stream.eof else stream.unconsumed_tail
    except zlib.error:
        raise ImageError("is a gzip file whose compressed data are damaged; copy it again") from None
    if whole and not stream.eof and len(content) < goal:
        raise ImageError("is a gzip file that is cut off; copy it again")
    del content[limit:]
    return content


def _gzip_stream() -> "zlib._Decompress":
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _check_header(header: Any) -> int:
    """Refuse what is no grey picture; return the number of bytes that the file must have."""
    shape = header.get_data_shape()
    if len(shape) < 2 or any(size != 1 for size in shape[2:]):
        raise ImageError(f"is a NIfTI of shape {' x '.join(map(str, shape))}, not one picture; export the slice meant")
    dtype = header.get_data_dtype()
    as_stored = header.get_slope_inter() in ((None, None), (1, 0))
    copied = 0 if as_stored and dtype.kind == "u" and dtype.itemsize <= 2 else 2
    check_size(int(shape[1]), int(shape[0]), copied + (int(dtype.itemsize) if as_stored else 8))
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageError("is a NIfTI of a complex, colour or extended data type; export it as integers")
    offset = float(header["vox_offset"])
    if bytes(header["magic"].tobytes()[:2]) == b"ni" or not header.single_vox_offset <= offset <= MAX_VOXEL_OFFSET:
        raise ImageError("is the header of a pair of NIfTI files, or damaged; export it as one .nii or .nii.gz")
    return int(offset) + int(shape[0]) * int(shape[1]) * int(dtype.itemsize)


def _without_non_finite(values: np.ndarray, notes: list[str]) -> np.ndarray:
    """NaN and infinities become the smallest finite value, which is dark."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError("is a NIfTI without any finite value, so there is no picture in it")
    notes.append(f"non_finite:{1 - float(finite.mean()):.4f}")
    return np.where(finite, values, values[finite].min())


def _as_pixels(values: np.ndarray, notes: list[str]) -> tuple[np.ndarray, tuple[float, float]]:
    if values.dtype in (np.uint8, np.uint16):
        return values, (0.0, float(np.iinfo(values.dtype).max))
    low, high = float(values.min()), float(values.max())
    notes.append("value_range_measured")
    whole = values.dtype.kind in "iu" or all((row == np.rint(row)).all() for row in values)
    if low >= 0 and high <= 65535 and whole:
        return values.astype(np.uint16), (low, high)
    if max(abs(low), abs(high)) > np.finfo(np.float32).max:
        raise ImageError("is a NIfTI with values beyond what a picture can have; export it as integers")
    return values.astype(np.float32), (low, high)


def _spacing(header: Any, notes: list[str]) -> tuple[float | None, float | None]:
    """Distance of rows and of columns in mm; unknown where another unit or nothing was stated.

    A file without unit and with spacing 1 x 1 has what writers fill in when they know nothing.
    """
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:  # a code that the format doesn't define
        unit = "undefined"
    column_mm, row_mm = (float(zoom) for zoom in header.get_zooms()[:2])
    if unit == "unknown" and (row_mm, column_mm) == (1.0, 1.0):
        return None, None
    plausible = all(math.isfinite(mm) and PLAUSIBLE_MM[0] <= mm <= PLAUSIBLE_MM[1] for mm in (row_mm, column_mm))
    if unit not in ("mm", "unknown") or not plausible:
        notes.append("spacing_implausible:NIfTI")
        return None, None
    return row_mm, column_mm
