"""What is measured on a pair of masks, as columns."""

import math

import numpy as np
import pytest

from segpipe.config import Score
from segpipe.score.columns import measured_columns
from segpipe.score.measure import measure
from segpipe.score.overlap import count_components
from tests.unit.score.masks import mask

SCORE = Score(calibration=False, tolerances_px=[1], tolerances_mm=[0.5, 2])
EMPTY, POINT, OTHER = mask(".... .... ...."), mask("1... .... ...."), mask(".... .... ...1")


def measured(prediction, reference, spacing=None, score=SCORE):
    return measure(prediction.astype(np.uint8), reference.astype(np.uint8), spacing, ["lung"], score)


def test_columns_go_by_metric_then_by_class_and_pixels_never_mix_with_mm():
    score = Score(tolerances_px=[2, 5], tolerances_mm=[0.5])
    metrics = "boundary_iou hd95_px assd_px nsd_2px nsd_5px hd95_mm assd_mm nsd_0.5mm brier ece reference_components"
    expected = [f"{metric}_{name}" for metric in metrics.split() for name in ("lung", "heart")]
    assert measured_columns(["lung", "heart"], score) == expected


def test_the_config_says_what_is_measured():
    nothing = Score(surface=False, boundary_iou=False, calibration=False, components=False)
    assert measured_columns(["lung"], nothing) == []
    assert measured(POINT, OTHER, score=nothing) == {}
    only = Score(surface=False, boundary_iou=False, calibration=False)
    assert list(measured(POINT, OTHER, score=only)) == ["reference_components_lung"]


# The picture has 3 rows and 4 columns: corners are the root of 2 x 2 + 3 x 3 apart; 0.5 mm by 2 mm: of 1 + 36.
FAR, FAR_MM = 13**0.5, 37**0.5
TABLE = {
    #                     boundary, hd95 px, assd px, nsd 1 px, hd95 mm, assd mm, nsd 0.5 mm, nsd 2 mm, pieces
    "both empty": (EMPTY, EMPTY, [1, 0, 0, 1, 0, 0, 1, 1, 0]),
    "missed": (EMPTY, POINT, [0, FAR, FAR, 0, FAR_MM, FAR_MM, 0, 0, 1]),
    "invented": (POINT, EMPTY, [0, FAR, FAR, 0, FAR_MM, FAR_MM, 0, 0, 0]),
    "elsewhere": (POINT, OTHER, [0, FAR, FAR, 0, FAR_MM, FAR_MM, 0, 0, 1]),
    "the same": (POINT, POINT, [1, 0, 0, 1, 0, 0, 1, 1, 1]),
    "a row off": (POINT, np.roll(POINT, 1, axis=0), [0, 1, 1, 1, 0.5, 0.5, 1, 1, 1]),
    "a column off": (POINT, np.roll(POINT, 1, axis=1), [0, 1, 1, 1, 2, 2, 0, 1, 1]),
}


@pytest.mark.parametrize(("prediction", "reference", "expected"), TABLE.values(), ids=TABLE)
def test_values_are_those_written_down_by_hand(prediction, reference, expected):
    found = measured(prediction, reference, (0.5, 2.0))
    assert dict(zip(measured_columns(["lung"], SCORE), expected, strict=True)) == pytest.approx(found)


def test_without_a_spacing_mm_are_blank_and_pixels_as_ever():
    known, unknown = measured(POINT, OTHER, (0.5, 2.0)), measured(POINT, OTHER, None)
    for name, value in unknown.items():
        assert math.isnan(value) if "mm_" in name else value == known[name], name


def test_classes_are_measured_alone_and_may_overlap():
    bits = (POINT | OTHER << 1).astype(np.uint8)
    found = measure(bits, (POINT | POINT << 1).astype(np.uint8), None, ["lung", "heart"], SCORE)
    assert (found["hd95_px_lung"], found["hd95_px_heart"]) == (0, pytest.approx(FAR))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_the_highest_bit_is_a_class_like_any_other(dtype):
    classes = [f"c{number}" for number in range(8 * np.dtype(dtype).itemsize)]
    bits = POINT.astype(dtype) << dtype(len(classes) - 1)
    assert measure(bits, bits, None, classes, SCORE)[f"reference_components_{classes[-1]}"] == 1


def test_where_the_masks_lie_in_the_picture_changes_nothing():
    rng = np.random.default_rng(0)
    one, other = (rng.random((2, 9, 9)) < 0.4).astype(np.uint8)
    pictures = [[np.pad(each, ((down, 20 - down), (right, 20 - right))) for each in (one, other)]
                for down, right in ((5, 5), (12, 3))]  # fmt: skip
    first, second = (measured(*pair, (0.143, 0.2)) for pair in pictures)
    assert first == second, "to the last bit"


def test_pieces_that_touch_at_a_corner_are_one():
    assert count_components(mask("1.. .1. ..1")) == 1
    assert count_components(mask("1.1 ... 1.1")) == 4
    assert count_components(mask("... ...")) == 0


def test_calibration_is_that_of_the_class_and_blank_without_probabilities():
    score = Score(surface=False, boundary_iou=False, components=False)
    bits = (POINT << 1).astype(np.uint8)
    found = measure(bits, bits, None, ["lung", "heart"], score, lambda index: np.full(POINT.shape, 0.5 * index))
    assert found == pytest.approx({"brier_lung": 0, "brier_heart": 0.25, "ece_lung": 0, "ece_heart": 0.5 - 1 / 12})
    assert all(map(math.isnan, measured(POINT, POINT, score=score).values()))
