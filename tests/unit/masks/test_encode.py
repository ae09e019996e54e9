import numpy as np
import pytest

from segpipe.config.data import have_label_values
from segpipe.errors import ConfigError
from segpipe.masks.encode import Layout, decode_png, mask_form


def masks(classes):
    random = np.random.default_rng(0)
    return random.random((classes, 30, 50)) > 0.6


@pytest.mark.parametrize(
    ("wanted", "classes", "label_masks", "form"),
    [
        ("auto", {"a": None}, False, "binary"),
        ("auto", {"a": [1], "b": [2]}, True, "labels"),
        ("auto", {"a": None, "b": None}, False, "per_class"),
        ("labels", {"a": None, "b": None}, False, "labels"),
        ("per_class", {"a": [1], "b": [2]}, True, "per_class"),
        ("auto", {"a": ["left lung"], "b": ["heart"]}, False, "per_class"),
        ("labels", {"a": ["left lung"], "b": ["heart"]}, False, "labels"),
    ],
)
def test_masks_are_written_as_the_references_are_unless_asked_otherwise(wanted, classes, label_masks, form):
    assert mask_form(wanted, classes, label_masks) == form


@pytest.mark.parametrize(("form", "count"), [("binary", 1), ("per_class", 3)])
def test_what_is_written_reads_back_with_overlaps(form, count):
    classes = dict.fromkeys("abc"[:count])
    truth = masks(count)
    layout = Layout(classes, form)
    files = layout.encode_masks("x", truth)
    assert len(files) == len(layout.mask_names("x")) == count
    np.testing.assert_array_equal(layout.decode_masks(list(files.values())), truth)


@pytest.mark.parametrize("values", [[1, 2], [100, 1000]])
def test_labels_carry_the_configs_pixel_values(values):
    classes = {"a": [values[0]], "b": [values[1]]}
    truth = masks(2)
    truth[1] &= ~truth[0]
    layout = Layout(classes, "labels")
    (file,) = layout.encode_masks("x", truth).values()
    assert set(np.unique(decode_png(file))) == {0, *values}
    np.testing.assert_array_equal(layout.decode_masks([file]), truth)


@pytest.mark.parametrize(
    "classes",
    [
        {"left": [1], "right": [2], "lungs": [1, 2]},
        {"tissue": [0], "lung": [1]},
        {"a": [1], "b": [1]},
        {"a": None, "b": [1]},
    ],
)
def test_classes_without_a_value_of_their_own_get_a_file_each(classes):
    assert not have_label_values(classes)
    assert mask_form("auto", classes, have_label_values(classes)) == "per_class"
    with pytest.raises(ConfigError, match="one pixel value for each class"):
        mask_form("labels", classes, False)
