"""Distances between contours: by hand, and against scipy's distance transform and MONAI."""

import numpy as np
import pytest
from scipy import ndimage

from segpipe.score.surface import SurfaceDistances, contour, largest_distance, surface_distances
from tests.unit.score.masks import blobs, mask

MONAI = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # its own deprecations and empties
SQUARE = mask("""
.......
.11111.
.11111.
.11111.
.......
""")


def between(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float] = (1, 1)) -> SurfaceDistances:
    return surface_distances(contour(prediction), contour(reference), spacing)


def test_the_contour_is_what_has_a_neighbour_outside() -> None:
    expected = mask("....... .11111. .1...1. .11111. .......")
    assert contour(SQUARE).tolist() == np.argwhere(expected).tolist()


def test_the_pictures_edge_is_outside() -> None:
    assert len(contour(mask("111 111 111"))) == 8


def test_a_corner_alone_does_not_open_the_inside() -> None:
    assert [1, 1] not in contour(mask(".11 111 111")).tolist(), "its four neighbours are set"


def test_an_empty_mask_has_no_contour() -> None:
    assert contour(mask("... ...")).shape == (0, 2)
    assert contour(np.zeros((0, 0), np.uint8)).shape == (0, 2)


def test_two_points_by_hand() -> None:
    """Three rows down and four columns right: 5 pixels; 3 x 2 mm and 4 x 0.5 mm: the root of 40."""
    one, other = mask("1.... ..... ..... ....."), mask("..... ..... ..... ....1")
    assert between(one, other).hd95() == between(one, other).assd() == 5
    assert between(one, other, (2, 0.5)).assd() == pytest.approx(40**0.5)
    assert between(one, other, (2, 0.5)).hd95() == between(other, one, (2, 0.5)).hd95()


def test_the_nearest_point_depends_on_the_spacing() -> None:
    """From the left upper corner two rows down is 2, three columns right is 3; with rows of 2 mm it is 4 and 3."""
    one, other = mask("1... .... ...."), mask("...1 .... 1...")
    assert between(one, other).of_prediction.tolist() == [2]
    assert between(one, other, (2, 1)).of_prediction.tolist() == [3]


def test_lines_by_hand() -> None:
    """A line of four pixels, and the first two of them a row below: distances 1, 1, root 2, root 5 and 1, 1."""
    distances = between(mask("1111 ...."), mask(".... 11.."))
    assert distances.of_prediction.tolist() == pytest.approx([1, 1, 2**0.5, 5**0.5])
    assert distances.of_reference.tolist() == [1, 1]
    assert distances.assd() == pytest.approx((4 + 2**0.5 + 5**0.5) / 6)
    # of four: 95 % of the way from the first to the last is 0.85 of the way from the third to the fourth
    assert distances.hd95() == pytest.approx(0.15 * 2**0.5 + 0.85 * 5**0.5)
    assert [distances.nsd(tolerance) for tolerance in (0.5, 1, 1.5, 3)] == pytest.approx([0, 4 / 6, 5 / 6, 1])


def test_the_larger_direction_decides_on_hd95() -> None:
    distances = SurfaceDistances(np.zeros(10), np.full(10, 7.0))
    assert distances.hd95() == SurfaceDistances(np.full(10, 7.0), np.zeros(10)).hd95() == 7
    assert distances.assd() == 3.5


def test_a_distance_that_is_the_tolerance_but_for_rounding_is_near() -> None:
    """Three times 0.1 mm is a little more than 0.3 in binary."""
    assert between(mask("1..."), mask("...1"), (0.1, 0.1)).of_prediction[0] > 0.3
    assert between(mask("1..."), mask("...1"), (0.1, 0.1)).nsd(0.3) == 1


def test_a_mask_is_at_no_distance_from_itself() -> None:
    distances = between(SQUARE, SQUARE)
    assert (distances.hd95(), distances.assd(), distances.nsd(1e-6)) == (0, 0, 1)


def test_the_largest_distance_is_between_opposite_corners() -> None:
    corner, opposite = np.zeros((2, 4, 7), np.uint8)
    corner[0, 0] = opposite[-1, -1] = 1
    assert largest_distance((4, 7), (0.5, 2)) == between(corner, opposite, (0.5, 2)).hd95()


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.143, 0.143), (0.2, 0.7)])
def test_distances_are_those_of_an_exact_distance_transform(spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = blobs(rng, 40, 30), blobs(rng, 40, 30)
        edges = [each & (ndimage.binary_erosion(each) == 0) for each in (one.astype(bool), other.astype(bool))]
        to_other, to_one = (ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges[::-1])
        found = between(one, other, spacing)
        np.testing.assert_allclose(found.of_prediction, to_other[edges[0]], rtol=1e-12)
        np.testing.assert_allclose(found.of_reference, to_one[edges[1]], rtol=1e-12)


@MONAI
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.2, 0.7)])
def test_scores_are_those_of_monai_where_neither_mask_is_empty(spacing: tuple[float, float]) -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(1)
    pairs = [(blobs(rng, 40, 30), blobs(rng, 40, 30)) for _ in range(8)]
    tensors = [torch.from_numpy(np.stack(each)[:, np.newaxis]).float() for each in zip(*pairs, strict=True)]
    options = {"include_background": True, "spacing": spacing}
    hd95 = metrics.compute_hausdorff_distance(*tensors, percentile=95, **options)[:, 0]
    assd = metrics.compute_average_surface_distance(*tensors, symmetric=True, **options)[:, 0]
    nsd = metrics.compute_surface_dice(*tensors, class_thresholds=[2.0], **options)[:, 0]
    found = [between(*pair, spacing) for pair in pairs]
    np.testing.assert_allclose([each.hd95() for each in found], hd95, rtol=1e-5)
    np.testing.assert_allclose([each.assd() for each in found], assd, rtol=1e-5)
    np.testing.assert_allclose([each.nsd(2.0) for each in found], nsd, rtol=1e-5)


@MONAI
def test_monai_has_no_finite_distance_where_a_mask_is_empty_and_forgives_an_invented_one() -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    some, none = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    pairs = [(none, none), (none, some), (some, none)]  # prediction, reference
    hd95 = [float(metrics.compute_hausdorff_distance(*pair, percentile=95)) for pair in pairs]
    nsd = [float(metrics.compute_surface_dice(*pair, class_thresholds=[1.0])) for pair in pairs]
    assert not np.isfinite(hd95).any()
    assert np.isnan(nsd[0])
    assert nsd[1:] == [0, 0]
