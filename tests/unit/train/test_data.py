from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from segpipe.preprocess.store import pack_bits, stack_writer, unpack_bits, write_table
from segpipe.train.augment import POLICIES
from segpipe.train.data import ShardDataset, augmented, batches, to_values

SIZE, COUNT = 16, 5


@pytest.fixture
def rows(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "0000").mkdir()
    with (
        stack_writer(tmp_path / "0000/images.npy", COUNT, (SIZE, SIZE), np.dtype(np.uint16)) as images,
        stack_writer(tmp_path / "0000/masks.npy", COUNT, (SIZE, SIZE), np.dtype(np.uint16)) as masks,
    ):
        for _ in range(COUNT):
            images.append(random.integers(0, 65536, (SIZE, SIZE), np.uint16))
            masks.append(pack_bits(random.integers(0, 2, (10, SIZE, SIZE), np.uint8)))
    table = pd.DataFrame({"image_id": list("abcde"), "shard": "0000", "row": range(COUNT)})
    write_table(tmp_path / "0000/table.parquet", table)
    return table


@pytest.mark.parametrize(("dtype", "classes"), [(np.uint8, 3), (np.uint16, 10), (np.uint32, 20)])
def test_stored_integers_become_grey_values_and_a_channel_for_each_class(dtype, classes):
    grey = np.uint8 if dtype == np.uint8 else np.uint16
    stored = np.array([[[0, np.iinfo(grey).max]]], grey)
    channels = np.random.default_rng(0).integers(0, 2, (classes, 1, 2), np.uint8)
    channels[-1] = 1  # the highest bit
    bits = pack_bits(channels)
    assert bits.dtype == dtype
    images, masks = to_values(torch.from_numpy(stored), torch.from_numpy(bits[None]), classes)
    assert images.tolist() == [[[[0.0, 1.0]]]]
    np.testing.assert_array_equal(masks[0].numpy(), unpack_bits(bits, classes))


def test_batches_come_in_order_with_the_rest(rows, tmp_path):
    pictures = ShardDataset(rows, tmp_path, 10)
    whole = list(batches(pictures, 2, torch.device("cpu")))
    assert [len(images) for images, _ in whole] == [2, 2, 1]
    for index, image in enumerate(torch.cat([images for images, _ in whole])):
        np.testing.assert_array_equal(image[0].numpy(), (pictures.read(index)[0].astype(np.float32) / 65535))


def test_the_size_of_a_batch_does_not_decide_what_happens_to_an_image(rows, tmp_path):
    pictures, cpu = ShardDataset(rows, tmp_path, 10), torch.device("cpu")
    sizes = [list(batches(pictures, size, cpu, partial(augmented, POLICIES["strong"], 1, 2))) for size in (1, 3)]
    for part in (0, 1):
        one, three = (torch.cat([batch[part] for batch in found]) for found in sizes)
        assert torch.equal(one, three)
