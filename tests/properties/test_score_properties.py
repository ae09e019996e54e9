"""What holds of scores for any masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segpipe.score.columns import score_table
from segpipe.score.overlap import counts_from_bits, dice, iou, miou
from tests.unit.score.masks import confusion_counts

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))
COUNTS = arrays(np.int64, st.tuples(st.integers(1, 6), st.just(3), st.just(4)), elements=st.integers(0, 10**9))


def packed(channels: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    bits = np.zeros(channels.shape[1:], dtype)
    for index, channel in enumerate(channels):
        bits |= channel.astype(dtype) << dtype(index)
    return bits


@given(PAIRS)
def test_counts_add_up_to_the_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    counts = confusion_counts(*pair)
    assert (counts.sum(axis=1) == pair[0][0].size).all()
    assert (counts >= 0).all()


@given(PAIRS, st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]))
def test_packed_and_plain_masks_give_equal_counts(
    pair: tuple[np.ndarray, np.ndarray], dtype: type[np.unsignedinteger]
) -> None:
    bits = (packed(masks, dtype) for masks in pair)
    np.testing.assert_array_equal(counts_from_bits(*bits, len(pair[0])), confusion_counts(*pair))


@given(PAIRS)
def test_scores_do_not_depend_on_which_mask_is_the_reference(pair: tuple[np.ndarray, np.ndarray]) -> None:
    there, back = confusion_counts(*pair), confusion_counts(*pair[::-1])
    np.testing.assert_array_equal(iou(there), iou(back))
    np.testing.assert_array_equal(dice(there), dice(back))


@given(PAIRS)
def test_a_mask_agrees_wholly_with_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert miou(confusion_counts(pair[0], pair[0])) == 1.0


@given(COUNTS)
def test_scores_lie_between_0_and_1_and_dice_follows_from_iou(counts: np.ndarray) -> None:
    scores = iou(counts)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(dice(counts), 2 * scores / (1 + scores), rtol=1e-12)


@given(PAIRS, st.integers(0, 2**32 - 1))
def test_the_order_of_pixels_does_not_matter(pair: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(pair[0].shape[1])
    moved = confusion_counts(pair[0][:, order], pair[1][:, order])
    np.testing.assert_array_equal(moved, confusion_counts(*pair))


@settings(max_examples=30)
@given(COUNTS, st.integers(0, 2**32 - 1))
def test_the_score_of_an_image_does_not_depend_on_its_place_in_the_table(counts: np.ndarray, seed: int) -> None:
    ids = [f"image{index}" for index in range(len(counts))]
    order = np.random.default_rng(seed).permutation(len(counts))
    straight = score_table(ids, counts, ["lung", "heart"])
    mixed = score_table([ids[index] for index in order], counts[order], ["lung", "heart"])
    back = mixed.sort_values("image_id", ignore_index=True)
    assert back.equals(straight.sort_values("image_id", ignore_index=True))
