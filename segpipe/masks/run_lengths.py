"""Masks as run lengths: COCO's compressed counts, which pycocotools and many tools read.

Pixels are counted along columns: lengths of runs of 0 and of 1 in turn, starting with 0. From the fourth on a count is
written as its difference to the one two before, in characters of five bits each, least first, with a sixth bit for
"more to come" (the format of pycocotools).
"""

import numpy as np

_OFFSET, _MORE, _SIGN = 48, 32, 16
LONGEST = 12  # characters of a count; more than any image needs


def encode(mask: np.ndarray) -> str:
    """The counts of ``mask`` (rows, columns) bool."""
    pixels = np.ascontiguousarray(mask.T).ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], [0] if pixels.size and pixels[0] else [], changes, [pixels.size]]).astype(np.int64)
    counts = np.diff(edges)
    counts[3:] -= counts[1:-2].copy()
    return _characters(counts)


def decode(text: str, rows: int, columns: int) -> np.ndarray:
    """The mask of ``text``, bool (rows, columns).

    Raises:
        ValueError: the text is damaged, or of an image of another size.
    """
    counts = counts_of(text)
    if (counts < 0).any() or counts.sum() != rows * columns:
        raise ValueError(f"run lengths for {counts.sum()} pixels and a mask of {rows} x {columns}")
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(pixels.reshape(columns, rows).T)


def counts_of(text: str) -> np.ndarray:
    """The counts, int64, as they stand in the text.

    Raises:
        ValueError: the text is damaged or cut off.
    """
    # Characters beyond ASCII become bytes from 128 on, which no count has.
    bits = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - _OFFSET
    if ((bits < 0) | (bits >= 64)).any():
        raise ValueError("damaged run lengths")
    if not len(bits):
        return bits
    ends = np.flatnonzero((bits & _MORE) == 0)
    if not len(ends) or ends[-1] != len(bits) - 1:
        raise ValueError("run lengths that are cut off")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    lengths = ends - starts + 1
    if lengths.max() > LONGEST:
        raise ValueError("damaged run lengths")
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((bits & 31) << (5 * places), starts)
    values -= np.where(bits[ends] & _SIGN, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _characters(counts: np.ndarray) -> str:
    """Each number as characters: five bits at a time until what is left is only its sign."""
    left, columns, wanted = counts, [], []
    more = np.ones(len(counts), bool)
    while more.any():
        wanted.append(more)
        low = left & 31
        left = left >> 5
        goes_on = np.where(low & _SIGN, left != -1, left != 0) & more
        columns.append(low + _OFFSET + goes_on * _MORE)
        more = goes_on
    table, kept = np.stack(columns, axis=1).astype(np.uint8), np.stack(wanted, axis=1)
    return str(table[kept].tobytes(), "ascii")
