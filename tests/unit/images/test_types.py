import numpy as np
import pytest

from segpipe.images import types as module
from segpipe.images.types import look_up

WORDS = np.random.default_rng(0).integers(0, 65536, (7, 5), np.uint16)


@pytest.mark.parametrize("has_lut", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("words", [WORDS, (WORDS >> 8).astype(np.uint8), WORDS[::2, ::3], WORDS[:1]])
def test_every_word_gets_its_entry(monkeypatch, has_lut, dtype, words):
    monkeypatch.setattr(module, "HAS_LUT_FOR_16_BITS", has_lut and module.HAS_LUT_FOR_16_BITS)
    entries = 256 if words.dtype == np.uint8 else 65536
    table = np.random.default_rng(1).integers(0, 255, entries).astype(dtype)
    found = look_up(table, words)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, table[words])


def test_words_that_are_their_own_values_cost_nothing():
    assert look_up(np.arange(65536, dtype=np.uint16), WORDS) is WORDS
    floats = look_up(np.arange(65536, dtype=np.float32), WORDS)
    np.testing.assert_array_equal(floats, WORDS)
    assert floats.dtype == np.float32
