"""Run lengths and outlines: what holds for any mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_tools

from segpipe.errors import ImageError
from segpipe.interop.coco import from_coco_counts
from segpipe.interop.rle import RunLengths
from segpipe.masks import outlines as polygons

FEW = settings(max_examples=100, deadline=None)
MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))
COORDINATES = st.floats(-20, 30, width=32)


def encoded(mask: np.ndarray, form: RunLengths) -> str:
    """Written independently of the decoder: one run after the other."""
    flat = mask.ravel(order="C" if form.order == "rows" else "F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    text, end = [], 0
    for start, stop in zip(edges[0::2], edges[1::2], strict=True):
        text += [start - end if form.starts == "relative" and text else start + form.base, stop - start]
        end = stop
    return " ".join(map(str, text))


@FEW
@given(MASKS, st.sampled_from(["rows", "columns"]), st.sampled_from([0, 1]), st.sampled_from(["absolute", "relative"]))
def test_run_lengths_of_any_form_come_back_as_the_mask(mask: np.ndarray, order: str, base: int, starts: str) -> None:
    form = RunLengths(order, base, starts)
    np.testing.assert_array_equal(form.decode(encoded(mask, form), (mask.shape[0], mask.shape[1])), mask)


@FEW
@given(MASKS)
def test_compressed_run_lengths_come_back_as_the_coco_tools_wrote_them(mask: np.ndarray) -> None:
    written = coco_tools.encode(np.asfortranarray(mask))
    shape = (mask.shape[0], mask.shape[1])
    np.testing.assert_array_equal(from_coco_counts(written["counts"].decode(), list(shape), shape), mask)


@FEW
@given(st.text(max_size=60), st.sampled_from(["rows", "columns"]), st.sampled_from(["absolute", "relative"]))
def test_any_text_is_a_mask_or_an_image_error(text: str, order: str, starts: str) -> None:
    for decode in (
        lambda: RunLengths(order, 1, starts).decode(text, (5, 7)),
        lambda: from_coco_counts(text, [5, 7], (5, 7)),
    ):
        try:
            mask = decode()
        except ImageError:
            continue
        assert mask.shape == (5, 7)


@FEW
@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=8))
def test_cutting_an_outline_keeps_its_area_within_the_box(points: list[tuple[float, float]]) -> None:
    outline = np.array(points, np.float64)
    whole = polygons.area(polygons.cut(outline, (-50.0, -50.0), (50.0, 50.0)))
    left = polygons.cut(outline, (-50.0, -50.0), (5.5, 50.0))
    inner = polygons.cut(left, (0.0, 0.0), (5.5, 7.0))
    np.testing.assert_array_equal(polygons.cut(inner, (0.0, 0.0), (5.5, 7.0)), inner)
    assert whole == pytest.approx(polygons.area(outline))
    if len(inner):
        assert inner.min() >= 0
        assert (inner.max(axis=0) <= (5.5, 7.0)).all()


@FEW
@given(st.floats(1, 9), st.floats(1, 9), st.floats(0, 5), st.floats(0, 5))
def test_the_share_outside_a_rectangle_is_exact(width: float, height: float, left: float, top: float) -> None:
    box = polygons.rectangle([[-left, -top], [width, height]])
    inside = min(width, 6.0) * min(height, 4.0)
    assert polygons.area_inside(box, (4, 6)) == pytest.approx(inside)
    assert polygons.area(box) == pytest.approx((width + left) * (height + top))
