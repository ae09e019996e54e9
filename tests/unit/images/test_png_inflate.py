import zlib

import pytest

from segpipe.images.raster.png import crc32, stored_again


@pytest.mark.parametrize("size", [1, 65535, 65536, 200_001])
def test_the_same_bytes_come_out_of_stored_blocks(size: int) -> None:
    plain = bytes(number * number % 251 for number in range(size))
    chunk = stored_again(zlib.compress(plain), size)
    assert chunk is not None
    length, kind, content, checksum = chunk[:4], chunk[4:8], chunk[8:-4], chunk[-4:]
    assert int.from_bytes(length, "big") == len(content)
    assert kind == b"IDAT"
    assert zlib.decompress(content) == plain
    assert int.from_bytes(checksum, "big") == zlib.crc32(kind + content) == crc32(kind + content)


def test_what_does_not_inflate_to_that_size_is_left_to_the_decoder() -> None:
    stream = zlib.compress(bytes(1000))
    assert stored_again(stream, 999) is None
    assert stored_again(stream, 1001) is None
    assert stored_again(stream[:-6], 1000) is None
    assert stored_again(b"\x78\x01" + b"\xff" * 20, 1000) is None
