import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segpipe.errors import InputError
from segpipe.masks.reference import mask_dtype
from segpipe.preprocess.store import open_store, pack_bits, stack_writer, unpack_bits, write_table


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.just(3), st.just(4)), elements=st.integers(0, 1)))
def test_bits_hold_overlapping_classes(channels):
    bits = pack_bits(channels)
    assert bits.dtype == mask_dtype(len(channels))
    np.testing.assert_array_equal(unpack_bits(bits, len(channels)), channels)
    np.testing.assert_array_equal(unpack_bits(np.stack([bits, bits]), len(channels))[1], channels)


def make_store(folder, count=3):
    with stack_writer(folder / "images.npy", count, (4, 4), np.dtype("uint16")) as images:
        for number in range(count):
            images.append(np.full((4, 4), number, np.uint16))
    with stack_writer(folder / "masks.npy", count, (4, 4), np.dtype("uint8")) as masks:
        for _ in range(count):
            masks.append(np.eye(4, dtype=np.uint8))
    write_table(folder / "table.parquet", pd.DataFrame({"image_id": [str(n) for n in range(count)]}))


def test_a_store_is_plain_npy_files_that_open_as_memory_maps(tmp_path):
    make_store(tmp_path)
    store = open_store(tmp_path)
    assert isinstance(store.images, np.memmap)
    assert store.images[2].tolist() == np.full((4, 4), 2).tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "masks.npy")[0], np.eye(4))


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        make_store(tmp_path / name)
    for file in ("images.npy", "masks.npy", "table.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_failed_writer_leaves_what_was_there(tmp_path):
    make_store(tmp_path)
    before = (tmp_path / "images.npy").read_bytes()
    with (
        pytest.raises(ValueError, match="in a stack of"),
        stack_writer(tmp_path / "images.npy", 1, (4, 4), np.dtype("uint8")) as writer,
    ):
        writer.append(np.zeros((5, 4), np.uint8))
    assert (tmp_path / "images.npy").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_truncated_or_mixed_stores_are_refused_with_a_remedy(tmp_path):
    make_store(tmp_path)
    content = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(content[:-8])
    with pytest.raises(InputError, match="Delete the folder"):
        open_store(tmp_path)
    (tmp_path / "images.npy").write_bytes(content)
    write_table(tmp_path / "table.parquet", pd.DataFrame({"image_id": ["0"]}))
    with pytest.raises(InputError, match="do not belong together"):
        open_store(tmp_path)
