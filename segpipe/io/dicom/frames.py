"""Which of a file's pictures is meant, and its bytes: nothing is decoded here (PS3.5 8.2, A.4; PS3.3 C.7.6.6)."""

from struct import unpack_from
from typing import Literal

from segpipe.errors import ImageError
from segpipe.io.dicom.header import Header

ITEM, DELIMITER = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0"
STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # of a JPEG, JPEG-LS or JPEG 2000 codestream
DAMAGED = "has compressed pixel data in damaged fragments; copy it again"


def choose_frame(frames: int, wanted: Literal["first", "middle"] | int | None) -> int:
    """The index of the frame to read, from 0; ``wanted`` is ``dicom.frame`` and counts from 1.

    Raises ImageError where there are several and nothing says which, or not as many as ``wanted``.
    """
    if frames < 1:
        raise ImageError(f"declares {frames} frames, so there is no picture in it; export it again")
    if frames == 1 or wanted == "first":
        return 0
    if wanted is None:
        raise ImageError(
            f"has {frames} frames, and nothing says which is meant; set dicom.frame to first, middle or a number, "
            "or export the frame that is meant"
        )
    if wanted == "middle":
        return (frames - 1) // 2
    if wanted > frames:
        raise ImageError(f"has {frames} frames, so dicom.frame: {wanted} is none of them")
    return wanted - 1


def native_frame(header: Header, index: int, size: int, swapped: bool = False) -> bytes | memoryview:
    """The bytes of one uncompressed frame; frames follow each other without padding (PS3.5 8.1.1).

    ``size`` is a frame's length in bytes. ``swapped``: pairs of bytes are the wrong way round. Raises ImageError
    where the data end before the frame does.
    """
    data = header.dataset.PixelData
    start, end = index * size, (index + 1) * size
    if len(data) < end:
        raise ImageError(
            f"has {len(data)} bytes of pixel data where the picture needs {end}: the file is cut off; copy it again"
        )
    if not swapped:
        return memoryview(data)[start:end]  # no copy
    pairs = bytearray(data[start - start % 2 : end + end % 2])
    pairs[0::2], pairs[1::2] = pairs[1::2], pairs[0::2]
    return bytes(pairs[start % 2 : start % 2 + size])


def check_native_length(header: Header, frames: int, size: int) -> None:
    """Refuse uncompressed pixel data with room for more frames than the header declares; note a smaller surplus.

    More than padding is there: bytes of wider pixels, of three colours, or of frames and rows that were not declared.
    ``size`` is a frame's length in bytes. Raises ImageError.
    """
    found, needed = len(header.dataset.PixelData), frames * size
    surplus = found - needed
    if surplus <= needed % 2:  # padded to an even length (PS3.5 8.1.1)
        return
    if surplus >= size:
        raise ImageError(
            f"has {found} bytes of pixel data where its size, bits and frames make {needed}: one of these is wrong; "
            "export it again"
        )
    header.note(f"surplus_bytes:{surplus}")


def encapsulated_frame(header: Header, index: int, frames: int) -> bytes:
    """The fragments of one compressed frame, joined.

    A single picture is all fragments, whatever an offset table says. Among several the Extended Offset Table
    (C.7.6.3.1.8) or the Basic Offset Table (PS3.5 A.4) tells, else there is one fragment for each frame,
    else a frame starts where a codestream does. Raises ImageError where that leads nowhere.
    """
    basic, fragments = _fragments(bytes(header.dataset.PixelData))
    parts = list(fragments.values())
    if frames == 1:
        if any(part.startswith(STARTS) for part in parts[1:]):
            raise ImageError("declares one frame, but its pixel data hold several; export it again")
        return b"".join(parts)
    for starts in (_extended_offsets(header), basic):
        if len(starts) == frames and set(starts) <= fragments.keys() and starts == sorted(set(starts)):
            bounds = [*starts, 2**64]
            return b"".join(part for at, part in fragments.items() if bounds[index] <= at < bounds[index + 1])
        if starts:
            header.note("offset_table_ignored")
    if len(parts) == frames:
        return parts[index]
    firsts = [number for number, part in enumerate(parts) if part.startswith(STARTS)]
    if len(firsts) != frames:
        found = len(firsts) or len(parts)
        raise ImageError(f"declares {frames} frames, but its pixel data hold {found}; copy it again")
    bounds = [*firsts, len(parts)]
    return b"".join(parts[bounds[index] : bounds[index + 1]])


def _fragments(data: bytes) -> tuple[list[int], dict[int, bytes]]:
    """The Basic Offset Table, and every fragment by its offset from the first one."""
    items: dict[int, bytes] = {}
    at = 0
    while at + 8 <= len(data) and data[at : at + 4] != DELIMITER:
        end = at + 8 + unpack_from("<I", data, at + 4)[0]
        if data[at : at + 4] != ITEM or end > len(data):
            raise ImageError(DAMAGED)
        items[at] = data[at + 8 : end]
        at = end
    if len(items) < 2:
        raise ImageError(DAMAGED)
    (_, table), (first, _) = list(items.items())[:2]
    basic = list(unpack_from(f"<{len(table) // 4}I", table))
    return basic, {at - first: item for at, item in list(items.items())[1:]}


def _extended_offsets(header: Header) -> list[int]:
    table = header.get("ExtendedOffsetTable")
    return list(unpack_from(f"<{len(table) // 8}Q", table)) if isinstance(table, bytes) else []
