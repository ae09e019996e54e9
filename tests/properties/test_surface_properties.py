"""Distances and rims of any masks: laws that must hold, and other ways to the same numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from scipy import ndimage
from scipy.spatial.distance import cdist

from segpipe.score.surface import boundary_iou, contour, largest_distance, surface_distances
from tests.unit.score.masks import blobs

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPACINGS = st.tuples(*[st.sampled_from([0.1, 0.143, 0.5, 1.0, 3.0])] * 2)
SOME = nps.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)).filter(np.any)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    first = draw(SOME)
    return first, draw(nps.arrays(np.uint8, first.shape, elements=st.integers(0, 1)).filter(np.any))


@FEW
@given(pairs(), SPACINGS)
def test_every_distance_is_the_smallest_of_all_pairs(
    masks: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float]
) -> None:
    points = [contour(each) for each in masks]
    found = surface_distances(*points, spacing)
    all_pairs = cdist(points[0] * spacing, points[1] * spacing)
    np.testing.assert_allclose(found.of_prediction, all_pairs.min(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.of_reference, all_pairs.min(axis=0), rtol=1e-9, atol=1e-12)


@FEW
@given(pairs(), SPACINGS, st.floats(0.05, 5))
def test_scores_stay_in_their_ranges_and_do_not_care_which_mask_comes_first(
    masks: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float], tolerance: float
) -> None:
    points = [contour(each) for each in masks]
    there, back = surface_distances(*points, spacing), surface_distances(*points[::-1], spacing)
    assert there.hd95() == back.hd95() <= largest_distance(masks[0].shape, spacing) * (1 + 1e-12)
    assert 0 <= there.assd() == pytest.approx(back.assd())
    assert 0 <= there.nsd(tolerance) == back.nsd(tolerance) <= there.nsd(2 * tolerance) <= 1


@FEW
@given(pairs(), st.sampled_from([0.1, 0.25, 0.143]))
def test_square_pixels_of_any_size_scale_distances_and_nothing_else(
    masks: tuple[np.ndarray, np.ndarray], spacing: float
) -> None:
    points = [contour(each) for each in masks]
    pixels, mm = surface_distances(*points), surface_distances(*points, (spacing, spacing))
    assert mm.hd95() == pytest.approx(pixels.hd95() * spacing)
    assert mm.nsd(2 * spacing) == pixels.nsd(2)


@FEW
@given(pairs(), st.integers(1, 5))
def test_boundary_iou_is_one_for_the_same_masks_and_iou_where_all_is_rim(
    masks: tuple[np.ndarray, np.ndarray], width: int
) -> None:
    one, other = masks
    assert boundary_iou(one, one, width) == 1
    assert boundary_iou(one, other, width) == boundary_iou(other, one, width)
    assert boundary_iou(one, other, 10) == pytest.approx((one & other).sum() / (one | other).sum())


def lines(mask: np.ndarray, spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The outline as surface-distance has it: a piece at each corner of pixels that it passes, and its length.

    Of the four pixels around a corner, one or three that are set are cut off obliquely, two neighbours straight, and
    two across from each other twice obliquely. Returns positions (n, 2) and lengths (n,).
    """
    around = np.stack([np.pad(mask, 1)[down:, right:][: mask.shape[0] + 1, : mask.shape[1] + 1]
                       for down, right in ((0, 0), (0, 1), (1, 0), (1, 1))]).astype(int)  # fmt: skip
    count, oblique = around.sum(axis=0), np.hypot(*spacing) / 2
    across = (count == 2) & (around[0] == around[3])
    upright = (count == 2) & (around[0] == around[2])
    level = (count == 2) & (around[0] == around[1])
    lengths = np.select([count % 2 == 1, across, upright, level], [oblique, 2 * oblique, spacing[0], spacing[1]])
    return np.argwhere(lengths > 0), lengths[lengths > 0]


@pytest.mark.parametrize(("spacing", "assd", "hd95", "nsd"), [(0.5, 0.15, 0.3, 0.15), ((0.5, 1.0), 0.35, 0.9, 0.15)])
def test_outlines_weighed_by_length_give_about_the_same(
    spacing: float | tuple[float, float], assd: float, hd95: float, nsd: float
) -> None:
    """Both outlines lie half a pixel further out, which shifts nothing; oblique pieces and long sides weigh more.

    Tolerances are in mm: a few tenths of a pixel for square ones.
    """
    rng = np.random.default_rng(3)
    sides = (spacing, spacing) if isinstance(spacing, float) else spacing
    for _ in range(20):
        one = np.pad(blobs(rng, 80, 70), 5)
        other = np.roll(one, rng.integers(-3, 4, 2), (0, 1))
        found = surface_distances(contour(one), contour(other), sides)
        (first, lengths), (second, others) = lines(one, sides), lines(other, sides)
        theirs = surface_distances(first, second, sides)
        weights = np.concatenate([lengths, others])
        distances = np.concatenate([theirs.of_prediction, theirs.of_reference])
        gaps = [
            found.assd() - float(np.average(distances, weights=weights)),
            found.hd95() - theirs.hd95(),
            found.nsd(1.0) - float(np.average(distances <= 1.0, weights=weights)),
        ]
        assert abs(gaps[0]) <= assd
        assert abs(gaps[1]) <= hd95
        assert abs(gaps[2]) <= nsd


@FEW
@given(pairs())
def test_eroded_masks_have_the_same_rims_as_distances_in_steps(masks: tuple[np.ndarray, np.ndarray]) -> None:
    """A chessboard's distance to the outside is the number of erosions a pixel survives."""
    rims = [each.astype(bool) & (ndimage.distance_transform_cdt(np.pad(each, 1), "chessboard")[1:-1, 1:-1] <= 2)
            for each in masks]  # fmt: skip
    expected = (rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum()
    assert boundary_iou(*masks, 2) == pytest.approx(expected)
