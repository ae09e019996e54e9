"""The content of a gzip file, never more of it than asked for."""

import zlib

from segpipe.errors import ImageError

INPUT_STEP, OUTPUT_STEP = 2**18, 2**22
MAX_REST = 2**20
"""What may follow the bytes that are needed, so that the checksum at the end is reached; bombs are left alone."""


def inflate(data: bytes, limit: int, whole: bool = False) -> bytearray:
    """The first ``limit`` bytes of the content, fewer where there are fewer.

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
