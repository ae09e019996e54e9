"""Masks drawn as shapes in labelme's JSON."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segpipe.errors import ImageError
from segpipe.masks.reference import read_reference
from tests.unit.images.pictures import SECRET, encoded

SHAPE = (6, 9)
BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]  # columns 1 to 3 of rows 1 and 2


def shape(label: str, points: Any, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def saved(folder: Path, *shapes: Any, rows: Any = 6, columns: Any = 9, **more: Any) -> Path:
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "../../etc/passwd", **more}
    content |= {"imageData": base64.b64encode(bytes(300)).decode(), "imageHeight": rows, "imageWidth": columns}
    (folder / "mask.json").write_text(json.dumps(content))
    return folder / "mask.json"


def where(rows: slice, columns: slice) -> np.ndarray:
    plane = np.zeros(SHAPE, bool)
    plane[rows, columns] = True
    return plane


def test_polygons_by_label_may_overlap(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("left lung", BOX), shape("heart", [[3, 2], [8, 2], [8, 6], [3, 6]]))
    mask = read_reference({"": path}, {"lung": ["left lung", "right lung"], "heart": ["heart"]}, SHAPE)
    lung, heart = where(slice(1, 3), slice(1, 4)), where(slice(2, 6), slice(3, 8))
    assert (lung & heart).sum() == 1
    np.testing.assert_array_equal(mask.bits, lung + 2 * heart)
    assert mask.notes == ()


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ([[1, 1], [4, 3]], "rectangle"),
        ([[4, 3], [1, 1]], "rectangle"),
        (BOX, "rectangle"),
        (BOX, "rotation"),
        (BOX, None),
        (BOX[::-1], "polygon"),
        ([[0.6, 0.6], [3.6, 0.6], [3.6, 2.6], [0.6, 2.6]], "polygon"),
    ],
)
def test_the_same_area_in_any_shape_gives_the_same_pixels(tmp_path: Path, points: Any, kind: str | None) -> None:
    mask = read_reference({"": saved(tmp_path, shape("a", points, kind))}, {"a": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, where(slice(1, 3), slice(1, 4)))


def test_a_circle_holds_the_pixels_whose_centres_it_holds(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("a", [[20, 15], [20 + 8 / math.sqrt(2), 15 - 8 / math.sqrt(2)]], "circle"), rows=30,
                 columns=50)  # fmt: skip
    mask = read_reference({"": path}, {"a": None}, (30, 50))
    y, x = np.mgrid[:30, :50] + 0.5
    np.testing.assert_array_equal(mask.bits, np.hypot(x - 20, y - 15) <= 8)


def test_an_outline_that_crosses_itself_follows_the_even_odd_rule_and_two_outlines_unite(tmp_path: Path) -> None:
    twice = [*BOX, *BOX]
    mask = read_reference({"": saved(tmp_path, shape("a", twice))}, {"a": None}, SHAPE)
    assert mask.notes == ("mask_empty:a",)
    mask = read_reference({"": saved(tmp_path, shape("a", BOX), shape("a", BOX))}, {"a": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, where(slice(1, 3), slice(1, 4)))


def test_bit_maps_are_pasted_at_their_box_and_may_stick_out(tmp_path: Path) -> None:
    bits = np.array([[0, 1, 1], [1, 1, 1]], np.uint8) * 255

    def drawn(left: int, top: int) -> Any:
        text = base64.b64encode(encoded(bits > 0, "PNG")).decode()
        corners = [[left, top], [left + 2, top + 1]]
        return read_reference({"": saved(tmp_path, shape("a", corners, "mask", mask=text))}, {"a": None}, SHAPE)

    expected = np.zeros(SHAPE, bool)
    expected[3:5, 4:7] = bits > 0
    np.testing.assert_array_equal(drawn(4, 3).bits, expected)
    expected = np.zeros(SHAPE, bool)
    expected[0, :2] = True
    mask = drawn(-1, -1)
    np.testing.assert_array_equal(mask.bits, expected)
    assert mask.notes == ("mask_outside:a:0.6000",)
    assert drawn(400, 300).notes == ("mask_outside:a:1.0000", "mask_empty:a")


def test_what_lies_outside_the_picture_is_cut_off_and_noted(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("a", [[-3, 1], [3, 1], [3, 4], [-3, 4]]), shape("b", BOX))
    mask = read_reference({"": path}, {"a": ["a"], "b": ["b"]}, SHAPE)
    np.testing.assert_array_equal(mask.bits & 1, where(slice(1, 4), slice(0, 3)))
    assert mask.notes == ("mask_outside:a:0.5000",)
    far = saved(
        tmp_path, shape("a", [[-900_000, -900_000], [900_000, -900_000], [900_000, 900_000], [-900_000, 900_000]])
    )
    assert read_reference({"": far}, {"a": None}, SHAPE).bits.all()


def test_lines_and_points_have_no_area_and_are_counted(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("a", BOX), shape("b", [[1, 1]], "point"), shape("c", BOX, "linestrip"))
    mask = read_reference({"": path}, {"a": ["a"]}, SHAPE)
    assert mask.notes == ("mask_shapes_without_area:2",)


def test_the_files_size_is_scaled_to_the_image_and_without_size_the_images_counts(tmp_path: Path) -> None:
    mask = read_reference({"": saved(tmp_path, shape("a", BOX))}, {"a": None}, (12, 18))
    np.testing.assert_array_equal(mask.bits, np.kron(where(slice(1, 3), slice(1, 4)), np.ones((2, 2))))
    assert mask.notes == ("mask_resampled:all:6x9->12x18",)
    mask = read_reference({"": saved(tmp_path, shape("a", BOX), rows=None, columns=None)}, {"a": None}, (12, 18))
    assert mask.bits.sum() == 6
    with pytest.raises(ImageError, match="another shape"):
        read_reference({"": saved(tmp_path, shape("a", BOX))}, {"a": None}, (9, 6))


def test_an_unnamed_label_is_an_error_that_counts_it(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("heart", BOX), shape("=evil\n" + "x" * 50, [[0, 0], [1, 0], [1, 1], [0, 1]]))
    expected = r'\(value: pixels "=evil\?x{34}\.\.\.": 1, "heart": 6\); give "=evil\?x{34}\.\.\." to a class'
    with pytest.raises(ImageError, match=expected):
        read_reference({"": path}, {"heart": ["heart"]}, SHAPE)


def test_numbers_for_texts_and_texts_for_numbers_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'a labelme file, whose labels are texts, .* classes: \{lung: \["left"\]\}'):
        read_reference({"": saved(tmp_path, shape("left", BOX))}, {"lung": [1]}, SHAPE)
    (tmp_path / "mask.png").write_bytes(encoded(where(slice(2, 4), slice(2, 3)).astype(np.uint8) * 7, "PNG"))
    with pytest.raises(ImageError, match=r"a picture, whose labels are numbers, .* classes: \{lung: \[7\]\}"):
        read_reference({"": tmp_path / "mask.png"}, {"lung": ["left"]}, SHAPE)


def test_a_file_for_one_class_may_be_empty_but_not_show_two(tmp_path: Path) -> None:
    assert read_reference({"lung": saved(tmp_path)}, {"lung": None}, SHAPE).notes == ("mask_empty:lung",)
    path = saved(tmp_path, shape("left", BOX), shape("right", BOX))
    with pytest.raises(ImageError, match=r'one class, but has 2 labels .*classes: \{lung: \["left"\]\}'):
        read_reference({"lung": path}, {"lung": None}, SHAPE)


NOT_PAIRS = "points that are not pairs of numbers"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (shape("a", [[math.nan, 1], [2, 2], [3, 3]]), "coordinate that is no number"),
        (shape("a", [[math.inf, 1], [2, 2], [3, 3]]), "coordinate that is no number"),
        (shape("a", [[1e7, 1], [2, 2], [3, 3]]), "coordinate that is no number"),
        (shape("a", [[1, 1], [2], [3, 3]]), NOT_PAIRS),
        (shape("a", [["x", 1], [2, 2], [3, 3]]), NOT_PAIRS),
        (shape("a", None), NOT_PAIRS),
        (shape("a", [[10**400, 1], [2, 2], [3, 3]]), NOT_PAIRS),
        (shape("a", [[0, 0], [9, 6]] * 200_000), "outlines of .* pixels length"),
        (shape("a", BOX[:3], "rectangle"), "rectangle with 3 corners"),
        (shape("a", BOX, "circle"), "circle with 4 points"),
        (shape("a", [[0, 0], [2, 2]], "mask", mask="%%%"), "without its bit map"),
        (shape("a", [[0, 0], [5, 5]], "mask", mask=base64.b64encode(encoded(np.ones((2, 2), bool), "PNG")).decode()),
         "2 x 2 pixels for a box of 6 x 6"),
        (shape("a", BOX, "star"), 'type that is not read \\("star"\\)'),
        ({"points": BOX}, "a shape without a label"),
        ("text", "a shape without a label"),
    ],
)  # fmt: skip
def test_a_broken_shape_is_refused_with_a_reason(tmp_path: Path, broken: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=f"mask mask.json has .*{reason}"):
        read_reference({"": saved(tmp_path, broken)}, {"a": None}, SHAPE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"shapes": ' + "[" * 100_000, "nested so deeply"),
        ('{"shapes": [', "syntax error, or cut off"),
        ('{"shapes": [{"label": "\xff"}]}', "without a label|syntax error"),
        ('{"images": [], "annotations": []}', "COCO file.*segpipe import-masks coco"),
        (f'{{"name": "{SECRET}"}}', "without the list of shapes"),
        ("[1, 2]", "without the list of shapes"),
        ('{"shapes": [' + "1," * 6_000_000 + "1]}", "too large for one image's outlines"),
        ('{"shapes": [' + "{}," * 10_001 + "{}]}", "10002 shapes, more than"),
        ('{"shapes": [], "imageHeight": 60000, "imageWidth": 60000}', "more than the 150000000"),
        ('{"shapes": [], "imageHeight": "6", "imageWidth": 9}', "no whole number"),
        ('{"shapes": [], "imageHeight": 1' + "0" * 5000 + ', "imageWidth": 9}', "syntax error"),
    ],
)
def test_a_hostile_file_is_refused_with_a_reason(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "mask.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ImageError, match=reason) as caught:
        read_reference({"": tmp_path / "mask.json"}, {"a": None}, SHAPE)
    assert SECRET not in str(caught.value)


def test_the_copy_of_the_image_in_the_file_does_not_count_towards_its_limits(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("a", BOX))
    text = path.read_text().replace('"imageData": "', '"imageData": "' + "A," * 6_000_000)
    path.write_text("\ufeff" + text)  # a byte order mark, as some editors leave it
    assert read_reference({"": path}, {"a": None}, SHAPE).bits.sum() == 6


def test_a_misspelt_label_is_shown_beside_the_one_that_was_meant(tmp_path: Path) -> None:
    path = saved(tmp_path, shape("plate", BOX), shape("tooth", BOX), shape("Tooht", BOX))
    with pytest.raises(ImageError, match=r'give "Tooht" \[nearly "tooth"\], "plate" to a class'):
        read_reference({"": path}, {"tooth": ["tooth"]}, SHAPE)
