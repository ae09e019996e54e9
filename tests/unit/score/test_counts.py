"""Counts of tiny masks, written out by hand."""

import numpy as np
import pytest

from segpipe.score.overlap import counts_from_bits
from tests.unit.score.masks import confusion_counts


def masks(*rows: str) -> np.ndarray:
    """One class per text: ``"11.. .1.."`` is a mask of two rows and four columns."""
    return np.array([[[cell == "1" for cell in row] for row in text.split()] for text in rows])


def packed(channels: np.ndarray) -> np.ndarray:
    return sum((channel.astype(np.uint8) << index for index, channel in enumerate(channels)), np.uint8(0))


CASES = {
    "half right": (masks("11.. ...."), masks("1.1. ...."), [[1, 1, 1, 5], [5, 1, 1, 1]]),
    "perfect": (masks("11.. 11.."), masks("11.. 11.."), [[4, 0, 0, 4], [4, 0, 0, 4]]),
    "nothing and nothing": (masks("...."), masks("...."), [[0, 0, 0, 4], [4, 0, 0, 0]]),
    "everything and everything": (masks("1111"), masks("1111"), [[4, 0, 0, 0], [0, 0, 0, 4]]),
    "invented": (masks("11.."), masks("...."), [[0, 2, 0, 2], [2, 0, 2, 0]]),
    "missed": (masks("...."), masks("1..."), [[0, 0, 1, 3], [3, 1, 0, 0]]),
    "overlapping classes": (
        masks("11.. ....", ".11. ...."),
        masks("11.. ....", ".1.1 ...."),
        [[2, 0, 0, 6], [1, 1, 1, 5], [4, 1, 1, 2]],
    ),
    "classes swapped": (
        masks("1.", ".1"),
        masks(".1", "1."),
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 2]],
    ),
}


@pytest.mark.parametrize(("prediction", "reference", "expected"), CASES.values(), ids=CASES)
def test_counts_are_those_counted_by_hand(
    prediction: np.ndarray, reference: np.ndarray, expected: list[list[int]]
) -> None:
    counts = confusion_counts(prediction, reference)
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


@pytest.mark.parametrize(("prediction", "reference", "expected"), CASES.values(), ids=CASES)
def test_packed_masks_give_the_same_counts(
    prediction: np.ndarray, reference: np.ndarray, expected: list[list[int]]
) -> None:
    counts = counts_from_bits(packed(prediction), packed(reference), len(prediction))
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


def test_packed_masks_larger_than_a_block_give_the_same_counts() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((2, 3, 700, 601)) < 0.3
    expected = confusion_counts(prediction, reference)
    np.testing.assert_array_equal(counts_from_bits(packed(prediction), packed(reference), 3), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_the_highest_bit_of_every_type_counts(dtype: type[np.unsignedinteger]) -> None:
    classes = 8 * np.dtype(dtype).itemsize
    bits = np.array([[1 << (classes - 1), 0]], dtype)
    counts = counts_from_bits(bits, bits, classes)
    assert counts[-2].tolist() == [1, 0, 0, 1]
    assert counts[-1].tolist() == [1, 0, 0, 1]
    assert counts[0].tolist() == [0, 0, 0, 2]


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        counts_from_bits(packed(masks("11")), packed(masks("111")), 1)


def test_bits_of_classes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="bits above"):
        counts_from_bits(np.array([[4]], np.uint8), np.array([[0]], np.uint8), 2)


def test_signed_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="unsigned"):
        counts_from_bits(np.array([[1]]), np.array([[1]]), 1)
